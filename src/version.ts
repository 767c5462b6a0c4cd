import { ownFile } from './own-files.ts';

/** The version of the package that this file is in. */
export const version = (JSON.parse(String(ownFile('package.json'))) as { version: string }).version;
