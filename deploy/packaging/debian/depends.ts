/** The Debian packages of the shared libraries that a program needs, at the least version that has what it uses. */
import { execFileSync } from 'node:child_process';

const PACKAGES: Readonly<Record<string, string>> = {
  'ld-linux-aarch64.so.1': 'libc6',
  'ld-linux-x86-64.so.2': 'libc6',
  'libatomic.so.1': 'libatomic1',
  'libc.so.6': 'libc6',
  'libdl.so.2': 'libc6',
  'libgcc_s.so.1': 'libgcc-s1',
  'libm.so.6': 'libc6',
  'libpthread.so.0': 'libc6',
  'libstdc++.so.6': 'libstdc++6',
};

/** The GCC that brought a version of libstdc++: its manual, "ABI Policy and Guidelines". */
const GCC: readonly (readonly [glibcxx: string, cxxabi: string, gcc: string])[] = [
  ['3.4.21', '1.3.9', '5.1'],
  ['3.4.22', '1.3.10', '6.1'],
  ['3.4.24', '1.3.11', '7.2'],
  ['3.4.25', '1.3.11', '8.1'],
  ['3.4.28', '1.3.12', '9.3'],
  ['3.4.29', '1.3.13', '11.1'],
  ['3.4.30', '1.3.13', '12.1'],
  ['3.4.32', '1.3.14', '13.2'],
  ['3.4.33', '1.3.15', '14.1'],
];

/** As the field Depends of a control file has them; throws where this file does not know what the program needs. */
export function dependsOf(program: string): string {
  // A line for each two of the symbols that Node has: 50 000.
  const options = { encoding: 'utf8', maxBuffer: 64 * 1_024 * 1_024 } as const;
  const read = (what: string): string => execFileSync('eu-readelf', [what, program], options);
  const libraries = [...read('-d').matchAll(/NEEDED\s+Shared library: \[(.*)\]/g)].map(([, name = '']) => name);
  const packages = new Set(libraries.map((name) => known(PACKAGES[name], `the package of ${name}`)));
  const versions = read('-V');
  const highest = (prefix: string): string =>
    [...versions.matchAll(new RegExp(`Name: ${prefix}_([\\d.]+)`, 'g'))]
      .map(([, version = '']) => version)
      .reduce((most, version) => (isAtMost(version, most) ? most : version), '0');
  const [glibcxx, cxxabi] = [highest('GLIBCXX'), highest('CXXABI')];
  const gcc = GCC.find((one) => isAtMost(glibcxx, one[0]) && isAtMost(cxxabi, one[1]))?.[2];
  const least: Readonly<Record<string, string>> = {
    libc6: highest('GLIBC'),
    'libstdc++6': known(gcc, `the GCC of GLIBCXX_${glibcxx} and CXXABI_${cxxabi}`),
  };
  const spelled = (name: string): string => (least[name] === undefined ? name : `${name} (>= ${least[name]})`);
  return [...packages].toSorted().map(spelled).join(', ');
}

function known(what: string | undefined, name: string): string {
  if (what === undefined) throw new Error(`deploy/packaging/debian/depends.ts does not know ${name}`);
  return what;
}

/** Of two versions such as 3.4.9 and 3.4.21. */
function isAtMost(a: string, b: string): boolean {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  const at = left.findIndex((part, i) => part !== (right[i] ?? 0));
  return at < 0 || (left[at] ?? 0) < (right[at] ?? 0);
}
