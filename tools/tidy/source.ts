/**
 * Sources for the tidy rules, parsed by the TypeScript compiler from memory, so that a rule can be
 * tried on a sample as well as on the repository. AssemblyScript is read by the same parser: it
 * accepts its decorators on functions. Called by tests/tidy.test.ts and the rules beside this file.
 */
import type { Node, SourceFile } from 'typescript/unstable/ast';
import { createVirtualFileSystem } from 'typescript/unstable/fs';
import { API } from 'typescript/unstable/sync';

/** A file: its path from the root, with `/`, and its contents. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** A file of TypeScript, AssemblyScript or JavaScript with its syntax tree. */
export interface Source extends TextFile {
  readonly tree: SourceFile;
}

/** Where a rule is broken, as `path:line message`. */
export type Finding = string;

/** No folder of this machine: everything under it exists in memory alone. */
const VIRTUAL = '/tidy';

/**
 * Parses `files`. One compiler process serves all of them; when it is told to end, it says
 * "context canceled" on stderr, which means nothing.
 */
export function parse(files: readonly TextFile[]): Source[] {
  const config = {
    compilerOptions: { allowJs: true, noLib: true, noResolve: true, types: [], module: 'esnext' },
    files: files.map(({ path }) => path),
  };
  const contents: Record<string, string> = {
    [`${VIRTUAL}/tsconfig.json`]: JSON.stringify(config),
  };
  for (const { path, text } of files) contents[`${VIRTUAL}/${path}`] = text;
  const api = new API({ cwd: VIRTUAL, fs: createVirtualFileSystem(contents) });
  const configFile = `${VIRTUAL}/tsconfig.json`;
  const snapshot = api.updateSnapshot({ openProjects: [configFile] });
  try {
    const program = snapshot.getProject(configFile)?.program;
    return files.map(({ path, text }) => {
      const tree = program?.getSourceFile(`${VIRTUAL}/${path}`);
      if (tree === undefined) throw new Error(`the compiler did not read ${path}`);
      return { path, text, tree };
    });
  } finally {
    snapshot.dispose();
    api.close();
  }
}

/** The line, from 1, on which `node` begins (its comment left out). */
export function lineOf(source: Source, node: Node): number {
  return source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree)).line + 1;
}

/** The line, from 1, on which `node` ends. */
export function lastLineOf(source: Source, node: Node): number {
  return source.tree.getLineAndCharacterOfPosition(node.getEnd()).line + 1;
}

/** A finding at `node`. */
export function finding(source: Source, node: Node, message: string): Finding {
  return `${source.path}:${lineOf(source, node)} ${message}`;
}

/** `node` and everything in it, parents before children. */
export function* walk(node: Node): Generator<Node> {
  yield node;
  const children: Node[] = [];
  node.forEachChild((child) => {
    children.push(child);
  });
  for (const child of children) yield* walk(child);
}
