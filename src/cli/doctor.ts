import { runDoctor } from '../doctor/doctor.ts';
import { configOrComplain } from './check.ts';
import type { Call } from './commands.ts';

/** `berth doctor`. Returns the exit code: 2 where the file is wrong. */
export async function doctor({ file, json, values }: Call): Promise<number> {
  const config = configOrComplain(file, process.stderr);
  return config ? runDoctor(config, values, json) : 2;
}
