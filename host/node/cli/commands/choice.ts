/**
 * The options by which every command says which running stack it means. Used by commands/.
 */

import type { Command } from 'commander';

export interface ChoiceOptions {
  name?: string;
  control?: string;
}

export type Run = (action: () => Promise<number>) => void;

/** Adds --name and --control. */
export function withChoice(command: Command): Command {
  return command
    .option('--name <name>', 'of the stack; the only one running by default')
    .option('--control <socket>', 'its control socket, when that lies elsewhere');
}
