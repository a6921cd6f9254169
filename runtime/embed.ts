/** Embed contexts: values that host functions find, by class, in the instance that calls them. */

/** The class of a value. */
export type EmbedKey<T extends object> = abstract new (...args: never[]) => T;

export class EmbedContexts {
  readonly #values = new Map<unknown, object>();

  constructor(values: Iterable<object> = []) {
    for (const value of values) this.insert(value);
  }

  /** Stores a value under its class. @returns the one that it replaces */
  insert<T extends object>(value: T): T | undefined {
    const key = value.constructor;
    const old = this.#values.get(key) as T | undefined;
    this.#values.set(key, value);
    return old;
  }

  /** The value of exactly that class. */
  get<T extends object>(key: EmbedKey<T>): T | undefined {
    return this.#values.get(key) as T | undefined;
  }

  has(key: EmbedKey<object>): boolean {
    return this.#values.has(key);
  }

  /** Takes it out. */
  remove<T extends object>(key: EmbedKey<T>): T | undefined {
    const old = this.get(key);
    this.#values.delete(key);
    return old;
  }
}
