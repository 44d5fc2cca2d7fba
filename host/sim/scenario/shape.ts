/**
 * Small checks of data that a person wrote: each looks at a value and throws one line that names
 * the place (`links[0].delayMs: a number from 0 is wanted`). Used by check.ts.
 */

/** What is wrong with a scenario, and where. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
}

export type Check = (value: unknown, place: string) => void;

export function wrong(place: string, wanted: string): never {
  throw new ScenarioError(`${place === '' ? 'the scenario' : place}: ${wanted}`);
}

const join = (place: string, name: string): string => (place === '' ? name : `${place}.${name}`);

export function number(least: number, most = Infinity): Check {
  const range = most === Infinity ? `from ${least}` : `from ${least} to ${most}`;
  return (value, place) => {
    if (typeof value === 'number' && value >= least && value <= most) return;
    wrong(place, `a number ${range} is wanted`);
  };
}

/** A number above 0. */
export const positive: Check = (value, place) => {
  if (typeof value !== 'number' || !(value > 0) || value === Infinity) {
    wrong(place, 'a number above 0 is wanted');
  }
};

export const text: Check = (value, place) => {
  if (typeof value !== 'string' || value === '') wrong(place, 'a text is wanted');
};

export const truth: Check = (value, place) => {
  if (typeof value !== 'boolean') wrong(place, 'true or false is wanted');
};

/** Functions come from modules only; JSON cannot hold any. */
export const callable: Check = (value, place) => {
  if (typeof value !== 'function') wrong(place, 'a function is wanted');
};

export function word(known: readonly string[]): Check {
  return (value, place) => {
    if (typeof value === 'string' && known.includes(value)) return;
    wrong(place, `one of ${known.join(', ')} is wanted`);
  };
}

export function list(item: Check, least = 0): Check {
  return (value, place) => {
    if (!Array.isArray(value) || value.length < least) {
      wrong(place, least > 0 ? `a list of at least ${least} is wanted` : 'a list is wanted');
    }
    value.forEach((each, at) => item(each, `${place}[${at}]`));
  };
}

/** A list of exactly so many. */
export function tuple(...items: readonly Check[]): Check {
  return (value, place) => {
    if (!Array.isArray(value) || value.length !== items.length) {
      wrong(place, `a list of ${items.length} is wanted`);
    }
    items.forEach((item, at) => item(value[at], `${place}[${at}]`));
  };
}

function entriesOf(value: unknown, place: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    wrong(place, 'an object is wanted');
  }
  return Object.entries(value);
}

/** An object with these keys; those named in `required` must be there, others may not. */
export function object(keys: Readonly<Record<string, Check>>, required: string[] = []): Check {
  return (value, place) => {
    const entries = entriesOf(value, place);
    for (const [name, each] of entries) {
      const check = Object.hasOwn(keys, name) ? keys[name] : undefined;
      if (check === undefined) {
        wrong(join(place, name), `unknown (known: ${Object.keys(keys).join(', ')})`);
      }
      if (each !== undefined) check(each, join(place, name));
    }
    const there = entries.filter(([, each]) => each !== undefined).map(([name]) => name);
    const missing = required.find((name) => !there.includes(name));
    if (missing !== undefined) wrong(join(place, missing), 'is missing');
  };
}

/** An object from any of these names to values of one kind. */
export function record(known: readonly string[] | undefined, item: Check): Check {
  return (value, place) => {
    for (const [name, each] of entriesOf(value, place)) {
      if (known !== undefined && !known.includes(name)) wrong(join(place, name), 'unknown');
      item(each, join(place, name));
    }
  };
}

export function either(wanted: string, ...checks: readonly Check[]): Check {
  return (value, place) => {
    for (const check of checks) {
      try {
        check(value, place);
        return;
      } catch (error) {
        if (!(error instanceof ScenarioError)) throw error;
      }
    }
    wrong(place, `${wanted} is wanted`);
  };
}
