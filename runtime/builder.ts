/** Makes instances step by step. */
import { Instance } from './instance.ts';
import type { Imports, Linkage } from './linkage.ts';
import type { Module } from './module.ts';
import type { Region } from './region.ts';

export class InstanceBuilder {
  readonly #region: Region;
  readonly #source: Module | Linkage;
  #imports: Imports = {};
  #heapSizeLimit: number | undefined;
  #tableLimit: number | undefined;
  #start = true;
  readonly #embed: object[] = [];

  /** @param source a module; or a Linkage of it, and then imports are not looked at */
  constructor(region: Region, source: Module | Linkage) {
    this.#region = region;
    this.#source = source;
  }

  withImports(imports: Imports): this {
    this.#imports = { ...this.#imports, ...imports };
    return this;
  }

  /** Largest size in bytes of each memory, within the region's limit. */
  withHeapSizeLimit(bytes: number): this {
    this.#heapSizeLimit = bytes;
    return this;
  }

  /** Most elements of each table, within the region's limit. */
  withTableLimit(elements: number): this {
    this.#tableLimit = elements;
    return this;
  }

  /** See EmbedContexts. */
  withEmbedContext(value: object): this {
    this.#embed.push(value);
    return this;
  }

  /** Leave the start function for Instance.runStart. */
  withoutStart(): this {
    this.#start = false;
    return this;
  }

  /** May be called again, for more instances. @throws as Instance.create */
  build(): Instance {
    return Instance.create(this.#region, this.#source, this.#imports, {
      start: this.#start,
      embed: this.#embed,
      ...(this.#heapSizeLimit !== undefined && { heapSizeLimit: this.#heapSizeLimit }),
      ...(this.#tableLimit !== undefined && { tableLimit: this.#tableLimit }),
    });
  }
}
