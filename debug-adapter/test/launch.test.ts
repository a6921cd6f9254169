import { describe, expect, it } from 'vitest';
import { checkLaunch, LaunchError, lucetWasiOptions } from '../launch.ts';

describe('launch arguments', () => {
  it('become options of lucet-wasi', () => {
    const launch = checkLaunch({
      program: '/w/a.wasm',
      args: ['--help', 'x y'],
      env: { A: '1', B: '' },
      dirs: ['/d::/data', { host: '/r', guest: '/ro', readonly: true }, { host: '/h' }],
      inheritEnv: true,
      entrypoint: 'go',
      maxHeapSize: '64MiB',
    } as never);
    expect(lucetWasiOptions(launch)).toEqual([
      ...['--dir', '/d::/data', '--readonly-dir', '/r::/ro', '--dir', '/h::/h'],
      ...['--inherit-env', '--env', 'A=1', '--env', 'B=', '--entrypoint', 'go', '--max-heap-size', '64MiB'],
    ]);
  });

  it.each([
    ['program', {}],
    ['program', { program: 7 }],
    ['args', { program: 'x', args: 'y' }],
    ['env', { program: 'x', env: { A: 1 } }],
    ['dirs', { program: 'x', dirs: [{ guest: '/' }] }],
    ['entrypoint', { program: 'x', entrypoint: 1 }],
    ['invoke', { program: 'x', invoke: 1 }],
    ['maxHeapSize', { program: 'x', maxHeapSize: '64 pages' }],
  ])('a wrong "%s" is refused by name', (name, request) => {
    expect(() => checkLaunch(request as never)).toThrow(LaunchError);
    expect(() => checkLaunch(request as never)).toThrow(`"${name}"`);
  });
});
