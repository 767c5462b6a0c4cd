import type { BackendConfig } from '../config/schema.ts';
import { formatEndpoint, type Endpoint } from '../config/values.ts';
import { lookUp } from '../names/look-up.ts';
import { askDns, type Found } from '../pool/discovery.ts';
import { finding, type Finding } from './findings.ts';
import type { Audience, Node } from './node.ts';

type ServerAddress = BackendConfig['servers'][string]['address'];

/**
 * The nodes of a backend, one for each address, and a finding for each server whose name has no address. Never
 * rejects.
 */
export async function findNodes(
  servers: BackendConfig['servers'],
  audience: Audience,
): Promise<{ nodes: Node[]; findings: Finding[] }> {
  const found = await Promise.all(
    Object.entries(servers).map(async ([name, { address }]) => ({ name, ...(await endpointsOf(address)) })),
  );
  const nodes = found.flatMap(({ name, endpoints }) =>
    endpoints.map((endpoint) => {
      const label = endpoints.length > 1 ? `${name} (${formatEndpoint(endpoint)})` : name;
      return { label, endpoint, audience };
    }),
  );
  const findings = found.flatMap(({ name, failure }) => (failure === undefined ? [] : [finding('TCP', name, failure)]));
  return { nodes, findings };
}

/** Each address that an address of balancer.yml leads to, once; or why there is none. Never rejects. */
export async function endpointsOf(
  address: ServerAddress,
): Promise<{ endpoints: readonly (Endpoint | Found)[]; failure?: string }> {
  const name = 'discover' in address ? address.name : address.host;
  const failed = (why: string) => ({ endpoints: [], failure: `${name} does not resolve: ${why}` });
  try {
    const endpoints = await resolve(address);
    return endpoints.length > 0 ? { endpoints: distinct(endpoints) } : failed('none of its targets has an address');
  } catch (error) {
    return failed((error as Error).message);
  }
}

async function resolve(address: ServerAddress): Promise<readonly (Endpoint | Found)[]> {
  if ('discover' in address) return (await askDns(address)).endpoints;
  return (await lookUp(address.host)).addresses.map((host) => ({ host, port: address.port }));
}

/** /etc/hosts may list an address twice, and a node must be audited once. */
function distinct(endpoints: readonly (Endpoint | Found)[]): (Endpoint | Found)[] {
  return [...new Map(endpoints.map((endpoint) => [formatEndpoint(endpoint), endpoint])).values()];
}
