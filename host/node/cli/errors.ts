/**
 * Errors that the command line shows as one line: what is wrong and what to do, with the exit code
 * that belongs to it. Thrown by everything under cli/ and board/; printed by main.ts alone.
 */

/** Something did not work: exit code 1. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
  readonly exitCode: number = 1;
}

/** The words typed make no sense: exit code 2. */
export class UsageError extends CommandError {
  override readonly name = 'UsageError';
  override readonly exitCode = 2;
}

/** One line, whatever was thrown. */
export function oneLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0] ?? message;
}
