/**
 * What a balancer wants of one key: that it says `to`, where it says nothing or `from` now. An empty `to` takes the key
 * away, and then an empty `from` means whatever it says.
 */
export type Bid = { readonly client: string; readonly from: string; readonly to: string };

/** What a balancer wants to have said of a server: that `field` says `to`, where it says nothing or `from` now. */
export type StateBid = { readonly field: string; readonly from: string; readonly to: string };

/** What came of a session. The session is of no use after `lost`. */
export type SessionEvents = {
  /** A message of another balancer, or of this one. */
  told(message: string): void;
  lost(reason: string): void;
};

/** One connection to where the shared table stands, subscribed to what other balancers tell. */
export type Session = {
  /**
   * Makes all bids at one moment, and answers with what each key says then. A key that says anything lives for
   * `expireMs` from then on, 0 is for ever. Rejects with an error whose message is fit for a log.
   */
  agree(bids: readonly Bid[], expireMs: number): Promise<readonly string[]>;
  /** Makes all bids at one moment, and answers with all that is said of servers then. Rejects likewise. */
  states(bids: readonly StateBid[]): Promise<ReadonlyMap<string, string>>;
  close(): void;
};

/** Opens a session; rejects as `agree` does. */
export type OpenSession = (events: SessionEvents) => Promise<Session>;

/**
 * All there is of the protocol on the side of Redis. KEYS: of the clients. ARGV: life in milliseconds, channel, the
 * balancer's instance, then for each key the client, `from` and `to`. Changes of what was there are told; a binding
 * that is new is nobody's news, since nobody can have another. A key that holds no text was not written by a balancer.
 */
export const AGREE = `
local px, channel, instance = ARGV[1], ARGV[2], ARGV[3]
local held = {}
for i, key in ipairs(KEYS) do
  local client, from, to = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]
  local now = redis.pcall('GET', key)
  if type(now) == 'table' then
    if not string.find(now.err, 'WRONGTYPE', 1, true) then return now end
    now = ''
  end
  local mine = not now or now == from or (to == '' and from == '')
  if now == to or not mine then
    if px ~= '0' then redis.call('PEXPIRE', key, px) end
    held[i] = now
  elseif to == '' then
    if now then
      redis.call('DEL', key)
      redis.call('PUBLISH', channel, instance .. ' ' .. client)
    end
    held[i] = ''
  else
    if px == '0' then redis.call('SET', key, to) else redis.call('SET', key, to, 'PX', px) end
    if now then redis.call('PUBLISH', channel, instance .. ' ' .. client .. ' ' .. to) end
    held[i] = to
  end
end
return held`;

/**
 * What is said of servers: a hash that does not expire. KEYS: the hash. ARGV: channel, instance, what the news is
 * called, then for each bid the field, `from` and `to`. A change is told without what it is: whoever hears of it asks.
 * A key that holds no hash was not written by a balancer.
 */
export const STATES = `
local key, channel, instance, news = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local held = redis.pcall('HGETALL', key)
local strange = held.err and string.find(held.err, 'WRONGTYPE', 1, true)
if held.err and not strange then return held end
if #ARGV == 3 then return strange and {} or held end
if strange then redis.call('DEL', key) end
local changed = false
for i = 4, #ARGV, 3 do
  if (redis.call('HGET', key, ARGV[i]) or '') == ARGV[i + 1] then
    redis.call('HSET', key, ARGV[i], ARGV[i + 2])
    changed = true
  end
end
if changed then redis.call('PUBLISH', channel, instance .. ' ' .. news) end
return redis.call('HGETALL', key)`;
