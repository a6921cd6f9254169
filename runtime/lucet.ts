/** The npm package: what `import … from 'lucet'` gives of compiler and runtime. */
export { CompileError, type CompileOptions, compile, defaultOptions } from '../compiler/index.ts';
export * from './index.ts';
