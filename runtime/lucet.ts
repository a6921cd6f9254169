/** What `import … from 'lucet'` gives: the compiler's door and the runtime's, in one file. */
export { CompileError, type CompileOptions, compile, defaultOptions } from '../compiler/index.ts';
export * from './index.ts';
