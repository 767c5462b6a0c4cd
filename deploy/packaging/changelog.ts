/** CHANGELOG.md, in the form of keepachangelog.com: what is not released yet, and the same under a version. */
const UNRELEASED = '## [Unreleased]';

export type Changelog = {
  /** What stands below [Unreleased]; empty where nothing does. */
  readonly unreleased: string;
  /** The whole text when that has become `version`. */
  released(version: string, on: Date): string;
};

export function changelogOf(text: string): Changelog {
  const from = text.indexOf(`${UNRELEASED}\n`);
  const start = from < 0 ? text.length : from + UNRELEASED.length;
  const next = text.indexOf('\n## ', start);
  const unreleased = text.slice(start, next < 0 ? text.length : next).trim();
  return {
    unreleased,
    released(version, on) {
      const title = `## [${version}] - ${on.toISOString().slice(0, 10)}`;
      const rest = next < 0 ? '' : text.slice(next + 1);
      const parts = [`${text.slice(0, start)}\n`, `${title}\n`, `${unreleased}\n`, rest];
      return `${parts
        .filter((part) => part !== '')
        .join('\n')
        .trimEnd()}\n`;
    },
  };
}

/** Of two versions such as 0.2.0 and 0.10.0. */
export function isNewer(version: string, than: string): boolean {
  const [left, right] = [version, than].map((one) => one.split('.').map(Number));
  const at = left?.findIndex((part, i) => part !== right?.[i]) ?? -1;
  return at >= 0 && (left?.[at] ?? 0) > (right?.[at] ?? 0);
}
