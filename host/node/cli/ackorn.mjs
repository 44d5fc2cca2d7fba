#!/usr/bin/env node
/**
 * The file that npm links as `ackorn`: starts the compiled command line (main.ts). Plain JavaScript
 * and committed, so that the link exists before the first build: npx would else remember a
 * checkout without a command. Holds nothing else.
 */
import { existsSync } from 'node:fs';

const main = new URL('../../../build/js/host/node/cli/main.js', import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write('ackorn: it is not built yet: run npm run build\n');
  process.exitCode = 1;
}
