/**
 * The bindings that lucetc-wasi adds to those given: WASI preview1 (witx/preview1 of WebAssembly/WASI), all 46
 * functions.
 */

const FUNCTIONS =
  'args_get args_sizes_get clock_res_get clock_time_get environ_get environ_sizes_get fd_advise fd_allocate fd_close fd_datasync ' +
  'fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread ' +
  'fd_prestat_dir_name fd_prestat_get fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write ' +
  'path_create_directory path_filestat_get path_filestat_set_times path_link path_open path_readlink path_remove_directory ' +
  'path_rename path_symlink path_unlink_file poll_oneoff proc_exit proc_raise random_get sched_yield sock_accept sock_recv ' +
  'sock_send sock_shutdown';

export const WASI_MODULE = 'wasi_snapshot_preview1';

export type Bindings = ReadonlyMap<string, ReadonlyMap<string, string>>;

export const WASI_BINDINGS: Bindings = new Map([
  [WASI_MODULE, new Map(FUNCTIONS.split(' ').map(name => [name, `lucet_wasi_${name}`]))],
]);

/** Later maps win, name by name. */
export function mergeBindings(maps: readonly Bindings[]): Bindings {
  const merged = new Map<string, Map<string, string>>();
  for (const map of maps) {
    for (const [module, names] of map) {
      const into = merged.get(module) ?? new Map<string, string>();
      merged.set(module, into);
      for (const [name, symbol] of names) into.set(name, symbol);
    }
  }
  return merged;
}

/** Read a bindings file: `{"module": {"name": "symbol"}}`. Throws an Error that says what is wrong. */
export function parseBindings(text: string): Bindings {
  const json: unknown = JSON.parse(text);
  const isObject = (v: unknown): v is Record<string, unknown> =>
    typeof v === 'object' && v !== null && !Array.isArray(v);
  if (!isObject(json)) throw new Error('expected an object: module -> name -> symbol');
  return new Map(
    Object.entries(json).map(([module, names]) => {
      if (!isObject(names)) throw new Error(`expected an object for module '${module}'`);
      return [
        module,
        new Map(
          Object.entries(names).map(([name, symbol]) => {
            if (typeof symbol !== 'string')
              throw new Error(`expected a symbol name for '${module}'.'${name}'`);
            return [name, symbol];
          }),
        ),
      ];
    }),
  );
}
