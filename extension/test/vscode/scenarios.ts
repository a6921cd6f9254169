/** The drives: what a newcomer does, in a window of its own for each. Steps of one build on what earlier ones left. */

import { DEBUGGING } from './scenarios-debug.ts';
import { EDITING } from './scenarios-edit.ts';
import type { Workbench } from './workbench.ts';

export type Step = readonly [name: string, run: (w: Workbench) => Promise<void>];

export interface Scenario {
  readonly name: string;
  /** Of the editor, beside those of scripts/vscode-host/settings.json. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly steps: readonly Step[];
}

export const SCENARIOS: readonly Scenario[] = [...EDITING, ...DEBUGGING];
