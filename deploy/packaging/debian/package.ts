/** The Debian package of a single file: what is where in it, and what dpkg is told. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { manPages } from '../man-pages.ts';
import type { Architecture } from '../node.ts';
import { dependsOf } from './depends.ts';

export type Making = {
  /** The single file. */
  readonly program: string;
  readonly architecture: Architecture;
  readonly version: string;
  /** In seconds; everything in the package has this date. */
  readonly date: number;
  /** Where the package goes. */
  readonly folder: string;
  /** The licences of what the single file contains, whole. */
  readonly licenses: string;
  /** A package to try out need not be small: xz takes a minute. */
  readonly isQuick?: boolean;
};

const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' } as const satisfies Record<Architecture, string>;
const HERE = join('deploy', 'packaging', 'debian');
const UNITS = join('deploy', 'systemd');
const DOC = 'usr/share/doc/berth';
const CONFIG = 'etc/berth/balancer.yml';
const SCRIPTS = ['postinst', 'prerm', 'postrm'];
/** What an operator has made in deploy/, as its .gitignore says, and what makes this package. */
const OWN = new Set(['.env', 'data', 'secrets', 'packaging']);

/** Makes the package and returns its path. */
export function debianPackage(making: Making): string {
  const root = mkdtempSync(join(tmpdir(), 'berth-deb-'));
  try {
    layFiles(root, making);
    layControl(root, making);
    const output = join(making.folder, `berth_${debian(making.version)}_${ARCHITECTURES[making.architecture]}.deb`);
    const compression = making.isQuick === true ? ['-Zgzip', '-z1'] : ['-Zxz'];
    const args = [...compression, '--root-owner-group', '--build', root, output];
    // What is newer than this is dated by it, and so is the archive itself: everything here is newer.
    const env = { ...process.env, SOURCE_DATE_EPOCH: String(making.date) };
    execFileSync('dpkg-deb', args, { env, stdio: 'pipe' });
    return output;
  } finally {
    rmSync(root, { recursive: true });
  }
}

function layFiles(root: string, making: Making): void {
  const put = putIn(root);
  put('usr/bin/berth', readFileSync(making.program));
  put(CONFIG, readFileSync(join(HERE, 'balancer.yml')));
  for (const unit of readdirSync(UNITS)) put(`usr/lib/systemd/system/${unit}`, readFileSync(join(UNITS, unit)));
  const pages = manPages({ version: making.version, date: dateOf(making) });
  for (const [name, text] of Object.entries(pages)) put(`usr/share/man/man${name.slice(-1)}/${name}.gz`, packed(text));
  put('usr/share/bash-completion/completions/berth', completion('bash'));
  put('usr/share/zsh/vendor-completions/_berth', completion('zsh'));
  const filter = (path: string): boolean => !OWN.has(basename(path));
  for (const folder of ['docs', 'deploy']) cpSync(folder, join(root, DOC, folder), { recursive: true, filter });
  for (const file of ['balancer.yml', 'README.md', 'SECURITY.md']) put(`${DOC}/${file}`, readFileSync(file));
  put(`${DOC}/CHANGELOG.md.gz`, packed(readFileSync('CHANGELOG.md', 'utf8')));
  put(`${DOC}/changelog.gz`, packed(changelog(making)));
  put(`${DOC}/copyright`, copyright());
  put(`${DOC}/licenses.txt.gz`, packed(making.licenses));
  put('usr/share/lintian/overrides/berth', readFileSync(join(HERE, 'lintian-overrides')));
  setModes(root, ['usr/bin/berth']);
}

function layControl(root: string, making: Making): void {
  const put = putIn(root);
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).toSorted();
  const files = paths.filter((path) => statSync(join(root, path)).isFile());
  const kilobytes = paths.map((path) =>
    files.includes(path) ? Math.ceil(statSync(join(root, path)).size / 1_024) : 1,
  );
  const sums = files
    .filter((path) => path !== CONFIG)
    .map(
      (path) =>
        `${createHash('md5')
          .update(readFileSync(join(root, path)))
          .digest('hex')}  ${path}\n`,
    );
  put(
    'DEBIAN/control',
    control(
      making,
      kilobytes.reduce((all, one) => all + one, 0),
    ),
  );
  put('DEBIAN/conffiles', `/${CONFIG}\n`);
  put('DEBIAN/md5sums', sums.join(''));
  // A template of units, such as berth@.service, is no unit: its instances have the names that their operator gives.
  const units = readdirSync(UNITS).filter((unit) => !unit.includes('@'));
  for (const script of SCRIPTS) {
    put(`DEBIAN/${script}`, readFileSync(join(HERE, script), 'utf8').replaceAll('@UNITS@', units.toSorted().join(' ')));
  }
  setModes(join(root, 'DEBIAN'), SCRIPTS);
}

function putIn(root: string): (path: string, content: string | Buffer) => void {
  return (path, content) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  };
}

/** Whatever the umask of this process and the modes of the sources are. */
function setModes(folder: string, executables: readonly string[]): void {
  chmodSync(folder, 0o755);
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const isOpen = statSync(join(folder, path)).isDirectory() || executables.includes(path);
    chmodSync(join(folder, path), isOpen ? 0o755 : 0o644);
  }
}

/** Of npm's versions 1.0.0-rc.1 comes before 1.0.0, of Debian's 1.0.0~rc.1. */
function debian(version: string): string {
  return version.replace('-', '~');
}

/** As policy 12.7 wants it: the best compression, and no date in it. */
function packed(text: string): Buffer {
  return gzipSync(text, { level: 9 });
}

function completion(shell: 'bash' | 'zsh'): string {
  return execFileSync(process.execPath, [join('dist', 'cli.js'), 'completion', shell], { encoding: 'utf8' });
}

function dateOf({ date }: Making): Date {
  return new Date(date * 1_000);
}

/** DEBFULLNAME and DEBEMAIL are Debian's own variables for who makes a package. */
function maintainer(): string {
  const { DEBFULLNAME: name = 'The Berth authors', DEBEMAIL: address = 'berth@example.org' } = process.env;
  return `${name} <${address}>`;
}

function control(making: Making, kilobytes: number): string {
  return `Package: berth
Version: ${debian(making.version)}
Architecture: ${ARCHITECTURES[making.architecture]}
Maintainer: ${maintainer()}
Installed-Size: ${kilobytes}
Depends: ${dependsOf(making.program)}
Section: net
Priority: optional
Description: TCP load balancer with sticky sessions for Docker registries
 Berth balances TCP connections over the nodes of a Docker registry cluster.
 A client that has been given a node keeps it, so that one push or pull, with
 its several connections, talks to one registry instance. TLS ends on the
 nodes: Berth never decrypts.
 .
 Health checks that understand registries, reloads that drop no connection,
 Prometheus metrics, a dashboard, an audit of the nodes (berth doctor), and an
 importer for the configurations of HAProxy and nginx are part of it.
`;
}

/** As dpkg-parsechangelog reads it. What changed stands in CHANGELOG.md.gz beside it. */
function changelog(making: Making): string {
  const when = dateOf(making).toUTCString().replace('GMT', '+0000');
  const what = '  * What changed is in /usr/share/doc/berth/CHANGELOG.md.gz';
  return `berth (${debian(making.version)}) stable; urgency=medium\n\n${what}\n\n -- ${maintainer()}  ${when}\n`;
}

/** Debian's copyright files refer to texts that every Debian has; what others ask for is the text as they gave it. */
function copyright(): string {
  const own = readFileSync('LICENSE', 'utf8');
  const parts =
    'The parts of /usr/bin/berth that others have written are under the licences in licenses.txt.gz beside this file.';
  return `Berth\n\n${own}\n${parts}\n`;
}
