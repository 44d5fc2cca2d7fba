/**
 * Socket options by Linux's names, and their values in the units of setsockopt(2). One place for
 * what needs translating: names of controllers, SO_LINGER's struct. Used by sockets and servers.
 */

import { Congestion, Option } from '../../assembly/abi.js';
import { codedError } from './errors.js';

export type OptionName = keyof typeof Option;

/** Values to set together, before connect or on a live socket; units as in setsockopt(2). */
export type SocketOptionValues = {
  [Name in OptionName]?: number | string | boolean;
} & {
  /** Bytes, for SO_SNDBUF and SO_RCVBUF alike. */
  SO_BUF?: number;
};

/**
 * Number of an option and of its value, for the engine.
 * @throws an error with a code: ERR_UNKNOWN_OPTION, ERR_INVALID_ARG_VALUE
 */
export function optionNumbers(
  name: OptionName, value: number | string | boolean,
): [option: Option, value: number] {
  const option = Option[name] as Option | undefined;
  if (option === undefined) throw codedError('ERR_UNKNOWN_OPTION', `unknown option: ${name}`);
  if (typeof value === 'boolean') return [option, value ? 1 : 0];
  if (typeof value === 'number') return [option, value];
  const controller = option === Option.TCP_CONGESTION
    ? Congestion[value as keyof typeof Congestion] : undefined;
  if (controller === undefined) {
    throw codedError('ERR_INVALID_ARG_VALUE', `${name} cannot be ${value}`);
  }
  return [option, controller];
}

/** Names and values one by one, SO_BUF taken apart. */
export function eachOption(
  values: SocketOptionValues, set: (option: Option, value: number) => void,
): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    if (name === 'SO_BUF') {
      set(Option.SO_SNDBUF, Number(value));
      set(Option.SO_RCVBUF, Number(value));
    } else {
      set(...optionNumbers(name as OptionName, value));
    }
  }
}
