/** Images made without a network or a daemon, and what of them came back. */
import { createHash, randomFillSync } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

export interface Image {
  /** As skopeo names it. */
  source: string;
  manifest: string;
  config: string;
  layers: string[];
  /** Of all layers and the configuration, as they travel. */
  bytes: number;
}

/**
 * An OCI image in `dir`, made without a network or a daemon: layers of random bytes, which no compression makes smaller
 * and no registry has seen before. Memory stays flat however large a layer is.
 */
export async function makeImage(
  dir: string,
  { layers, layerBytes }: { layers: number; layerBytes: number },
): Promise<Image> {
  const blobs = join(dir, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const made: { digest: string; diffId: string; size: number }[] = [];
  for (let index = 0; index < layers; index++) made.push(await makeLayer(blobs, `data/layer-${index}`, layerBytes));
  const put = async (mediaType: string, value: unknown) => {
    const text = JSON.stringify(value);
    const digest = createHash('sha256').update(text).digest('hex');
    await writeFile(join(blobs, digest), text);
    return { mediaType, digest: `sha256:${digest}`, size: text.length };
  };
  const config = await put('application/vnd.oci.image.config.v1+json', {
    created: new Date(0).toISOString(),
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: made.map((layer) => layer.diffId) },
  });
  const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const descriptors = made.map(({ digest, size }) => ({ mediaType, digest, size }));
  const manifest = await put(manifestType, { schemaVersion: 2, mediaType: manifestType, config, layers: descriptors });
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' };
  await writeFile(
    join(dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const bytes = made.reduce((sum, layer) => sum + layer.size, config.size);
  const digests = { manifest: manifest.digest, config: config.digest, layers: made.map((layer) => layer.digest) };
  return { source: `oci:${dir}:latest`, ...digests, bytes };
}

async function makeLayer(
  blobs: string,
  name: string,
  bytes: number,
): Promise<{ digest: string; diffId: string; size: number }> {
  const unfinished = join(blobs, 'unfinished');
  const diff = createHash('sha256');
  const blob = createHash('sha256');
  let size = 0;
  const tar = async function* (): AsyncGenerator<Buffer> {
    for (const block of tarWithRandomFile(name, bytes)) {
      diff.update(block);
      yield block;
    }
  };
  const measure = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const block of source) {
      blob.update(block);
      size += block.length;
      yield block;
    }
  };
  // Level 0 stores: clients expect gzip, and random bytes would only cost time to compress.
  await pipeline(tar, createGzip({ level: 0 }), measure, createWriteStream(unfinished));
  const digest = blob.digest('hex');
  await rename(unfinished, join(blobs, digest));
  return { digest: `sha256:${digest}`, diffId: `sha256:${diff.digest('hex')}`, size };
}

/** POSIX ustar: a header block, the bytes padded to whole blocks of 512, two empty blocks. */
function* tarWithRandomFile(name: string, bytes: number): Generator<Buffer> {
  const header = Buffer.alloc(512);
  const octal = (value: number, length: number) => value.toString(8).padStart(length, '0');
  header.write(name, 0);
  header.write(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0${octal(bytes, 11)}\0${octal(0, 11)}\0`, 100);
  header.write(`        0`, 148); // the checksum counts as spaces while it is computed; 0 is 'a file'
  header.write('ustar\u000000', 257);
  header.write(
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
    148,
  );
  yield header;
  for (let left = bytes; left > 0; left -= 2 ** 20) yield randomFillSync(Buffer.allocUnsafe(Math.min(left, 2 ** 20)));
  yield Buffer.alloc(((512 - (bytes % 512)) % 512) + 1024);
}

/** What of `image` is not, byte for byte, in the directory a pull made; empty when the two are identical. */
export async function differences(image: Image, pulledDir: string): Promise<string[]> {
  const wanted = [image.config, ...image.layers].map((digest) => ({ digest, file: digest.replace('sha256:', '') }));
  const found: string[] = [];
  for (const { digest, file } of [...wanted, { digest: image.manifest, file: 'manifest.json' }]) {
    const hash = createHash('sha256');
    try {
      await pipeline(createReadStream(join(pulledDir, file)), hash);
      const got = `sha256:${hash.digest('hex')}`;
      if (got !== digest) found.push(`${file} is ${got}, pushed was ${digest}`);
    } catch (error) {
      found.push(`${file}: ${(error as Error).message}`);
    }
  }
  return found;
}
