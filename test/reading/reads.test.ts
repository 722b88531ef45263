import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import type { FastifyInstance } from 'fastify'
import type { RecordChange, Repository, SessionRecord, StoredValue } from '../../index.js'
import { RecordCache } from '../../lib/cache.js'
import { errors } from '../../lib/errors.js'
import { SharedReads } from '../../lib/reads.js'
import { memoryRepository } from '../../testing/index.js'
import { addRoutes, setStage } from '../support/app.js'
import { onEachEngine, startDynalite } from '../support/engines.js'
import { makeGate } from '../support/gate.js'
import { noteEvents } from '../support/matrix.js'
import { openStored, setKeeper } from '../support/memory.js'
import { faults } from '../support/proxy.js'

const record = (version = 1): SessionRecord => ({ key: 'k', data: new Map(), version, createdAt: 0, lastSeenAt: 0, expiresAt: 7200 })
const DONE = { done: true, version: 2 } as const

/** Shared reads over calls that each wait for a gate of their own, in the order in which they were made. */
function setUp ({ cache = undefined as RecordCache | undefined } = {}) {
  const calls: string[] = []
  const gates: Array<{ open (): void, fail (error: Error): void }> = []
  const wait = async <T>(name: string, answer: T): Promise<T> => {
    calls.push(name)
    const gate = makeGate()
    let failure: Error | undefined
    gates.push({
      open: gate.open,
      fail: error => {
        failure = error
        gate.open()
      }
    })
    await gate.passed
    if (failure !== undefined) throw failure
    return answer
  }
  let version = 0
  const inner: Repository = {
    load: async (key, consistent) => await wait(`load ${key}${consistent ? ' strong' : ''}`, record(++version)),
    create: async ({ key }) => await wait(`create ${key}`, true),
    save: async key => await wait(`save ${key}`, DONE),
    touch: async key => await wait(`touch ${key}`, true),
    replace: async key => await wait(`replace ${key}`, DONE),
    destroy: async key => await wait(`destroy ${key}`, undefined)
  }
  const time = { ms: 0 }
  return { reads: new SharedReads(inner, cache, () => time.ms), calls, gates, time }
}

type Reads = ReturnType<typeof setUp>['reads']

const WRITES: Readonly<Record<string, (reads: Reads) => Promise<unknown>>> = {
  create: async reads => await reads.create(record(), 0),
  save: async reads => await reads.save('k', { set: new Map(), delete: [], settings: {}, renewal: undefined, base: record(), now: 0 }),
  touch: async reads => await reads.touch('k', { lastSeenAt: 0, expiresAt: 1, idleTimeout: undefined, absoluteTimeout: undefined, mayShorten: false }, 0),
  replace: async reads => await reads.replace('k', { next: 'n', base: record(), sameVersion: false, now: 0 }),
  destroy: async reads => await reads.destroy('k')
}

t.test('reads of one session that overlap are one call, and everybody gets its record', async t => {
  const { reads, calls, gates } = setUp()
  const all = [reads.load('k', false), reads.load('k', false), reads.load('other', false), reads.load('k', false)]
  t.same(calls, ['load k', 'load other'])
  for (const gate of gates) gate.open()
  const [first, second, , third] = await Promise.all(all)
  t.equal(second, first)
  t.equal(third, first)
  const later = reads.load('k', false)
  t.equal(calls.length, 3, 'and when it has ended, the next one is a call of its own')
  gates[2]?.open()
  t.match(await later, { version: 3 })
})

t.test('strong reads are never shared, nor does anybody join one', async t => {
  const { reads, calls, gates } = setUp()
  const all = [reads.load('k', true), reads.load('k', true), reads.load('k', false), reads.load('k', true)]
  t.same(calls, ['load k strong', 'load k strong', 'load k', 'load k strong'])
  for (const gate of gates) gate.open()
  t.equal(new Set(await Promise.all(all)).size, 4)
})

t.test('a read is joined for a second and no longer', async t => {
  const { reads, calls, gates, time } = setUp()
  const first = reads.load('k', false)
  time.ms += 999
  const second = reads.load('k', false)
  t.equal(calls.length, 1)
  time.ms += 1
  const third = reads.load('k', false)
  t.equal(calls.length, 2)
  gates[0]?.open()
  t.equal(await second, await first)
  const fourth = reads.load('k', false)
  t.equal(calls.length, 2, 'whoever comes then joins the second call, which goes on when the first has ended')
  gates[1]?.open()
  t.equal(await fourth, await third)
})

t.test('each kind of write detaches a session, when it begins and when it ends', async t => {
  for (const [name, write] of Object.entries(WRITES)) {
    const { reads, calls, gates } = setUp()
    const all = [reads.load('k', false)]
    const writing = write(reads)
    all.push(reads.load('k', false), reads.load('k', false))
    t.same(calls, ['load k', `${name} k`, 'load k'], `${name}: who comes while it is under way does not see an older state than that of its beginning`)
    gates[1]?.open()
    await writing
    all.push(reads.load('k', false), reads.load('k', false))
    t.same(calls.slice(3), ['load k'], `${name}: who comes after it sees it`)
    for (const gate of gates) gate.open()
    const [first, second, third, fourth, fifth] = await Promise.all(all)
    t.same([second === third, fourth === fifth, new Set([first, second, fourth]).size], [true, true, 3])
  }
})

t.test('a write that fails detaches too, since it may have happened', async t => {
  for (const [name, write] of Object.entries(WRITES)) {
    const { reads, calls, gates } = setUp()
    const writing = write(reads)
    const before = reads.load('k', false)
    gates[0]?.fail(new Error('cut off'))
    await t.rejects(writing, new Error('cut off'))
    const after = reads.load('k', false)
    t.same(calls, [`${name} k`, 'load k', 'load k'])
    for (const gate of gates) gate.open()
    t.not(await before, await after)
  }
})

t.test('a write to one session leaves the reads of others shared', async t => {
  const { reads, calls, gates } = setUp()
  const all = [reads.load('other', false), WRITES['save']?.(reads), reads.load('other', false)]
  t.same(calls, ['load other', 'save k'])
  for (const gate of gates) gate.open()
  await Promise.all(all)
})

t.test('a failure is that of all who share the read, each with an error of its own and the same cause', async t => {
  const { reads, calls, gates } = setUp()
  const cause = new Error('throttled')
  const all = [reads.load('k', false), reads.load('k', false), reads.load('k', false)]
  gates[0]?.fail(new errors.Unavailable({ cause }))
  const failures = await Promise.all(all.map(async read => await read.then(() => undefined, (error: Error) => error)))
  t.equal(new Set(failures).size, 3)
  for (const failure of failures) t.match(failure, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503, cause })
  const again = [reads.load('k', false), reads.load('k', false)]
  t.equal(calls.length, 2, 'the next ones are not held to it')
  gates[1]?.fail(new TypeError('a fault of the repository'))
  for (const read of again) await t.rejects(read, new TypeError('a fault of the repository'))
})

t.test('a repository that throws before it waits fails like any other', async t => {
  const reads = new SharedReads({ ...memoryRepository(), load: () => { throw new Error('at once') } })
  await t.rejects(reads.load('k', false), new Error('at once'))
  await t.rejects(reads.load('k', false), new Error('at once'))
})

t.test('a repository is asked to verify itself where it can', async t => {
  let asked = 0
  const { load, create, save, touch, replace, destroy } = setUp().reads
  const inner = { load, create, save, touch, replace, destroy }
  await new SharedReads(inner).verify()
  await new SharedReads({ ...inner, verify: async () => { asked += 1 } }).verify()
  t.equal(asked, 1)
})

t.test('with a cache, what was read is not read again, until a write begins', async t => {
  for (const [name, write] of Object.entries(WRITES)) {
    const { reads, calls, gates } = setUp({ cache: new RecordCache({ ttl: 5, max: 10 }, () => 0, () => true) })
    const first = reads.load('k', false)
    const strong = reads.load('k', true)
    t.same(calls, ['load k', 'load k strong'])
    gates[1]?.open()
    const found = await strong
    t.equal(await reads.load('k', false), found, 'what a strong read found is kept too')
    t.same(calls.splice(0).length, 2)
    const writing = write(reads)
    const during = reads.load('k', false)
    t.same(calls, [`${name} k`, 'load k strong'], 'what a replica may show of before is not to be kept')
    gates[3]?.open()
    await during
    gates[2]?.open()
    await writing
    const after = reads.load('k', false)
    t.same(calls.splice(0), [`${name} k`, 'load k strong', 'load k strong'], `${name}: what was read while it was under way is not kept`)
    gates[0]?.open()
    gates[4]?.open()
    await Promise.all([first, after])
    t.equal(await reads.load('k', false), await after, 'nor is what was read before, though it came last')
    t.same(calls, [])
  }
})

t.test('who asks for what is later than the cached record shares a read with others who do', async t => {
  const { reads, calls, gates } = setUp({ cache: new RecordCache({ ttl: 5, max: 10 }, () => 1000, () => true) })
  const first = reads.load('k', false)
  gates[0]?.open()
  await first
  t.equal(await reads.load('k', false, 1000), await first)
  const later = [reads.load('k', false, 1001), reads.load('k', false, 1001)]
  t.same(calls, ['load k', 'load k'])
  gates[1]?.open()
  const [second, third] = await Promise.all(later)
  t.equal(second, third)
  t.not(second, await first)
})

/** A table of one session on which calls take their time, in an order that chance decides, and replicas lag behind for up to `lag`. */
function setChance (seed: number, { lag, clock }: { readonly lag: number, readonly clock: { ms: number } }) {
  let state = seed
  const chance = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  /** The versions with their instants; 0 where there is none any more. */
  const history = [{ at: 0, version: 1 }]
  const versionAt = (instant: number): number => history.findLast(({ at }) => at <= instant)?.version ?? 0
  const present = (): number => history.at(-1)?.version ?? 0
  const commit = (version: number): void => { history.push({ at: clock.ms, version }) }
  const held: Array<() => void> = []
  const mayWait = async (): Promise<void> => { if (chance() < 0.5) await new Promise<void>(resolve => { held.push(resolve) }) }
  const mayFail = (): void => { if (chance() < 0.05) throw new Error('cut off') }
  const write = async (version: () => number): Promise<void> => {
    await mayWait()
    if (present() !== 0) commit(version())
    await mayWait()
    mayFail()
  }
  const inner: Repository = {
    ...memoryRepository(),
    load: async (_key, consistent) => {
      await mayWait()
      const version = consistent ? present() : versionAt(clock.ms - chance() * lag)
      await mayWait()
      mayFail()
      return version === 0 ? null : record(version)
    },
    save: async () => {
      await write(() => present() + 1)
      return present() === 0 ? { done: false, record: null } : { done: true, version: present() }
    },
    destroy: async () => {
      await write(() => 0)
      return undefined
    }
  }
  const releaseOne = (): void => { held.splice(Math.floor(chance() * held.length), 1)[0]?.() }
  return { inner, chance, present, versionAt, commit, releaseOne, held }
}

t.test('with a cache, whatever overlaps, nobody reads what is older than a write of this process, or longer ago than its time', async t => {
  const [ttl, lag] = [3, 2000]
  let [answers, fromCache] = [0, 0]
  const faults: string[] = []
  for (let seed = 1; seed <= 400; seed++) {
    const clock = { ms: 1_767_323_045_000 }
    const { inner, chance, present, versionAt, commit, releaseOne, held } = setChance(seed, { lag, clock })
    let calls = 0
    const counted: Repository = {
      ...inner,
      load: async (...args) => {
        calls += 1
        return await inner.load(...args)
      }
    }
    const reads = new SharedReads(counted, new RecordCache({ ttl, max: 5 }, () => clock.ms, () => true, () => clock.ms), () => clock.ms)
    const own = { version: 1, isDestroyed: false }
    const look = async (): Promise<void> => {
      const [before, { version: least, isDestroyed }] = [calls, { ...own }]
      // Of what others have written, by the replica's lag, the read that is joined and the time in the cache.
      const settled = versionAt(clock.ms - ttl * 1000 - lag - 1000)
      const found = (await reads.load('k', chance() < 0.1))?.version ?? 0
      answers += 1
      if (calls === before) fromCache += 1
      if (isDestroyed && found !== 0) faults.push(`${seed}: destroyed here and read`)
      if (found !== 0 && found < least) faults.push(`${seed}: ${found} was read after ${least} was written here`)
      if (found !== 0 && (settled === 0 || found < settled)) faults.push(`${seed}: ${found} was read long after ${settled} was written elsewhere`)
    }
    const acts: ReadonlyArray<readonly [number, () => unknown]> = [
      [0.45, look],
      [0.55, async () => {
        const answer = await reads.save('k', {} as RecordChange)
        if (answer.done) own.version = Math.max(own.version, answer.version)
      }],
      [0.57, async () => {
        await reads.destroy('k')
        own.isDestroyed = true
      }],
      [0.62, () => { if (present() !== 0) commit(present() + 1) }],
      [0.63, () => { commit(0) }],
      [0.8, () => { clock.ms += Math.floor(chance() * 1500) }],
      [1, releaseOne]
    ]
    const all: Array<Promise<unknown>> = []
    for (let step = 0; step < 60; step++) {
      const number = chance()
      const [, act = () => {}] = acts.find(([most]) => number < most) ?? []
      all.push(Promise.resolve(act()).catch(() => {}))
      await nextTurn()
    }
    while (held.length > 0) {
      releaseOne()
      await nextTurn()
    }
    await Promise.all(all)
  }
  t.same(faults, [])
  t.ok(answers > 8000 && fromCache > 1500, `${answers} answers, ${fromCache} of them without a call`)
})

/** A record that nobody can change: its maps refuse, and whatever is in it is frozen. */
function locked (found: SessionRecord): SessionRecord {
  const lock = (map: ReadonlyMap<string, StoredValue | number>): void => {
    for (const value of map.values()) freeze(value)
    for (const name of ['set', 'delete', 'clear'] as const) Object.defineProperty(map, name, { value: () => { throw new Error('a shared record was changed') } })
  }
  lock(found.data)
  if (found.writes !== undefined) lock(found.writes)
  return Object.freeze(found)
}

function freeze (value: unknown): void {
  // Bytes cannot be frozen; they are compared in the end.
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return
  for (const member of Object.values(value)) freeze(member)
  Object.freeze(value)
}

const CODEC = { name: 'bytes', encode: (value: unknown) => new TextEncoder().encode(JSON.stringify(value)), decode: (stored: string | Uint8Array) => JSON.parse(new TextDecoder().decode(stored as Uint8Array)) as unknown }
const DATA = { list: [1, { deep: ['a'] }], map: { a: { b: 1 } }, 'any:text': 'x', count: 1 }
const NATIVE = { ...DATA, bytes: new Uint8Array([1, 2, 3]), tags: new Set(['a']), numbers: new Set([1, 2]), big: 12345678901234567890n }

t.test('visits that share a record do not see what each other does to its values, and none changes it', async t => {
  const forms = [
    ['json', {}, DATA],
    ['native', { format: 'native' as const }, NATIVE],
    ['a codec', { format: CODEC }, DATA],
    ['sealed', { encryptionKeys: new Uint8Array(32).fill(1) }, DATA],
    ['sealed and native', { encryptionKeys: new Uint8Array(32).fill(1), format: 'native' as const, compress: true }, NATIVE]
  ] as const
  for (const [title, options, data] of forms) {
    const stage = setKeeper(options)
    const { id, key } = await openStored(stage, data)
    const shared = locked(await stage.repository.load(key, true) as SessionRecord)
    const before = structuredClone(shared.data)
    stage.repository.load = async () => shared
    const open = async () => (await stage.keeper.open(id, key, stage.log)).visit
    const [a, b] = await Promise.all([open(), open()])
    t.equal(a.state.record, b.state.record, `${title}: it is one record`)
    const values = (visit: typeof a) => visit.session as unknown as Record<string, any>
    for (const name of ['list', 'map']) t.not(values(a)[name], values(b)[name], `${title}: each has a ${name} of its own`)
    values(a)['list'].push('mine')
    values(a)['list'][1].deep.push('mine')
    values(a)['map'].a.b = 'mine'
    a.session.set('any:text', 'mine')
    a.session.delete('count')
    if ('bytes' in data) {
      values(a)['bytes'][0] = 99
      values(a)['tags'].add('mine')
    }
    t.same(b.session.data(), data, `${title}: the other sees nothing`)
    const c = await open()
    t.same(c.session.data(), data, `${title}: nor does a third`)
    a.session.idleTimeout = 60
    await a.save()
    await a.update('count', () => 5)
    c.session.set('any:text', 'yours')
    await c.save()
    await b.regenerate(true)
    await b.save().catch(() => {})
    const d = await open()
    await d.update('list', list => [...list as unknown[], 1]).catch(() => {})
    d.session.touch()
    await d.settle(false)
    const e = await open()
    e.session.clear()
    await e.save().catch(() => {})
    const f = await open()
    await f.reload()
    await f.destroy()
    t.same(shared.data, before, `${title}: whatever was done, the shared record is as it was`)
  }
})

function routes (app: FastifyInstance): void {
  addRoutes(app)
  app.post('/slow', async ({ session }) => {
    session.set('count', 2)
    await session.save()
    return session.data()
  })
}

onEachEngine(t, async (t, engine) => {
  await t.test('twenty parallel reads of one session are one GetItem', async t => {
    const { app, proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    proxy.take()
    const gate = proxy.gate('GetItem')
    const answers = Array.from({ length: 10 }, async () => await ann.send({ url: '/me' }))
    await gate.reached
    // Some come later, while the read is under way.
    for (let number = 0; number < 10; number++) answers.push(ann.send({ url: '/me' }, app))
    await new Promise(resolve => setImmediate(resolve))
    gate.release()
    for (const answer of await Promise.all(answers)) t.same([answer.statusCode, answer.json().data], [200, { count: 1 }])
    t.same(proxy.takeCalls().map(({ action, capacity }) => [action, capacity]), [['GetItem', 0.5]])
  })

  await t.test('with consistentRead, each of them is a read of its own', async t => {
    const { proxy, visitor } = await setStage(t, engine, { session: { consistentRead: true } })
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    proxy.take()
    await Promise.all(Array.from({ length: 5 }, async () => await ann.get('/me')))
    t.same(proxy.takeCalls().map(({ action, capacity }) => [action, capacity]), Array(5).fill(['GetItem', 1]))
  })

  await t.test('parallel requests that read together and write different keys all have their way', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    proxy.take()
    const gate = proxy.gate('GetItem')
    const answers = Array.from({ length: 8 }, async (_, number) => await ann.send({ method: 'POST', url: '/set', payload: { [`any:${number}`]: number } }))
    await gate.reached
    gate.release()
    t.same(new Set((await Promise.all(answers)).map(({ statusCode }) => statusCode)), new Set([200]))
    t.same(proxy.take(), ['GetItem', ...Array(8).fill('UpdateItem')])
    t.same((await ann.get('/me')).json().data, { count: 1, ...Object.fromEntries(Array.from({ length: 8 }, (_, number) => [`any:${number}`, number])) })
  })

  await t.test('a request after an acknowledged write reads anew, though a read from before it is under way', async t => {
    const { app, proxy, visitor } = await setStage(t, engine, { routes })
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    proxy.take()
    const token = { headers: { cookie: `__Host-id=${ann.cookie('__Host-id') ?? ''}` } }
    const id = String((await app.inject({ url: '/me', ...token })).json().id)
    proxy.take()
    const gate = proxy.gate('GetItem', 'after')
    const early = app.inject({ url: '/me', ...token })
    await gate.reached
    const session = await app.sessions.load(id, { required: true })
    session.set('count', 2)
    await app.sessions.save(session)
    t.same((await app.inject({ url: '/me', ...token })).json().data, { count: 2 }, 'without a companion')
    await app.sessions.destroy(id)
    t.same((await app.inject({ url: '/me', ...token })).json(), { data: {} })
    gate.release()
    t.same((await early).json().data, { count: 1 })
    t.same(proxy.take(), ['GetItem', 'GetItem', 'UpdateItem', 'GetItem', 'DeleteItem', 'GetItem'])
  })

  await t.test('who joins a read that lags behind what they wrote reads again, strongly, and others do not', async t => {
    const { app, proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    proxy.staleReads = true
    await ann.post('/set', { count: 2 })
    proxy.take()
    const cookie = `__Host-id=${ann.cookie('__Host-id') ?? ''}`
    const [knows, does] = await Promise.all([ann.send({ url: '/me' }), app.inject({ url: '/me', headers: { cookie } })])
    t.same([knows.json().data, does.json().data], [{ count: 2 }, { count: 1 }])
    t.same(proxy.takeCalls().map(({ input }) => input['ConsistentRead']), [false, true])
  })

  await t.test('parallel log-outs, log-ins and reads that shared a read keep every promise', async t => {
    const events = noteEvents(t)
    const { proxy, visitor, items } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    const gate = proxy.gate('GetItem')
    const answers = ['/login', '/logout', '/login', '/set'].map(async url => await ann.send({ method: 'POST', url, payload: { count: 2 } }))
    await gate.reached
    proxy.take()
    gate.release()
    const statuses = (await Promise.all(answers)).map(({ statusCode }) => statusCode)
    t.equal(statuses[1], 200)
    t.ok(statuses.every(status => status === 200 || status === 409), String(statuses))
    t.equal((await items()).filter(({ next }) => next === undefined).length, 0, 'the log-out ended it, and its successor where there was one')
    t.ok(events.length > 0)
  })
})

t.test('on dynalite alone', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())

  await t.test('a failed read fails all who share it, with a 503 each and the cookie left alone', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    proxy.take()
    proxy.meet('GetItem', faults.error('AccessDeniedException'))
    const answers = await Promise.all(Array.from({ length: 6 }, async () => await ann.get('/me')))
    for (const answer of answers) t.same([answer.statusCode, answer.headers['retry-after'], answer.headers['set-cookie']], [503, '1', undefined])
    t.same(proxy.take(), ['GetItem'])
    t.same((await ann.get('/me')).json().data, { count: 1 })
  })

  await t.test('with readFailure: \'anonymous\', each of them goes on without a session', async t => {
    const { proxy, visitor } = await setStage(t, engine, { session: { readFailure: 'anonymous' } })
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    proxy.take()
    proxy.meet('GetItem', faults.error('AccessDeniedException'))
    const answers = await Promise.all([ann.get('/me'), ann.get('/me'), ann.post('/set', { count: 2 })])
    t.same(answers.map(({ statusCode }) => statusCode), [200, 200, 503])
    t.same(proxy.take(), ['GetItem'])
    t.same((await ann.get('/me')).json().data, { count: 1 })
  })
})
