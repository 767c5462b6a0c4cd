/** The pages of a repository that a host has: what npm's package.json says of where a package comes from. */
export type Hosted = {
  readonly repository: { readonly type: 'git'; readonly url: string };
  readonly bugs: { readonly url: string };
  readonly homepage: string;
};

/** `git@HOST:PATH`, `ssh://git@HOST/PATH` or `https://HOST/PATH`, as hosts offer a repository to clone. */
const ADDRESS =
  /^(?:[\w.-]+@(?<scp>[\w.-]+\.\w+):|(?:https|ssh|git):\/\/(?:[\w.-]+@)?(?<host>[\w.-]+\.\w+)(?::\d+)?\/)(?<path>[\w./~-]+?)(?:\.git)?\/?$/;

/** Undefined where the address of a remote is none that others can reach, such as a folder. */
export function hostedAt(remote: string): Hosted | undefined {
  const { scp, host = scp, path } = ADDRESS.exec(remote)?.groups ?? {};
  if (host === undefined || path === undefined) return undefined;
  const page = `https://${host}/${path}`;
  return {
    repository: { type: 'git', url: `git+${page}.git` },
    bugs: { url: `${page}/issues` },
    homepage: `${page}#readme`,
  };
}
