/**
 * The fenced blocks of README.md, for the tests that run every command and program in it. A block's
 * second word says what it is: a file's name, or how its commands are to be run.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { at } from '../../tools/repository.js';

/** A fenced block: ```language name. */
export interface Block {
  readonly language: string;
  /** Empty when the fence has one word only. */
  readonly name: string;
  readonly text: string;
}

/** All fenced blocks of a Markdown text. */
export function blocksOf(markdown: string): Block[] {
  const fences = markdown.matchAll(/^```(\w+)(?: (\S+))?\n([^]*?)^```$/gm);
  return [...fences].map(([, language = '', name = '', text = '']) => ({ language, name, text }));
}

/** Those of the README. */
export const blocks = blocksOf(readFileSync(at('README.md'), 'utf8'));

/** The one block of that name. */
export function block(name: string): Block {
  const found = blocks.filter((each) => each.name === name);
  assert.equal(found.length, 1, `the README has ${found.length} blocks named ${name}`);
  return found[0] as Block;
}

/** The commands of a block of shell. */
export function commandsOf({ text }: Block): string[] {
  return text.split('\n').filter((line) => line !== '');
}
