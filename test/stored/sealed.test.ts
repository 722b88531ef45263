import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance, type LightMyRequestResponse as Answer } from 'fastify'
import { deserialize, serialize } from 'node:v8'
import dynamoSession, { type DynamoSessionOptions } from '../../index.js'
import type { StoredValue } from '../../types/repository.js'
import { Clock, LogLines, setStage, type Stage } from '../support/app.js'
import { clientConfig, startDynalite, type Engine } from '../support/engines.js'
import { FaultyRepository, openStored, setKeeper } from '../support/memory.js'
import { faults } from '../support/proxy.js'
import { Visitor } from '../support/visitor.js'

/**
 * Sealed and compressed values through the plugin, on a table and in memory: what sealing may change is what stands in the table,
 * and nothing of what sessions do.
 */

const [KEY, OLD_KEY] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
const CANARY = 'canary-5d1c'
const UNREADABLE = 'FST_DYNAMODB_SESSION_UNREADABLE'
const SEALED = 8

/** A session of keys that no application declared. */
interface Loose {
  readonly loggableId: string | undefined
  readonly isNew: boolean
  get (key: string): any
  set (key: string, value: unknown): void
  has (key: string): boolean
  delete (key: string): boolean
  take (key: string): any
  update (key: string, fn: (value: any) => unknown): Promise<any>
  keys (): string[]
  data (): Record<string, any>
  clear (): void
  save (): Promise<void>
  reload (): Promise<void>
  regenerate (keep?: readonly string[] | boolean): Promise<void>
  destroy (): Promise<void>
}

type Act = (session: Loose) => unknown
type Stored = ReadonlyMap<string, StoredValue>

/** An application on one of the stores, and what tests do to that behind its back. */
interface House {
  readonly app: FastifyInstance
  readonly log: LogLines
  readonly clock: Clock
  /** Another instance on the same store. */
  another (session?: Partial<DynamoSessionOptions>): Promise<FastifyInstance>
  /** The calls since the last look. */
  take (): Array<'read' | 'write'>
  /** Everything that is stored under a loggable id. */
  record (key: string): Promise<unknown>
  values (key: string): Promise<Stored>
  /** Puts a value into a record, past the plugin. */
  plant (key: string, name: string, value: StoredValue): Promise<void>
  refuseOneCreate (): void
  loseOneAnswer (to: 'create' | 'save'): void
}

interface Store { open (t: Test, session?: Partial<DynamoSessionOptions>): Promise<House> }

/** The same on a table, with a way past the plugin. */
interface Table extends Store { open (t: Test, session?: Partial<DynamoSessionOptions>): Promise<House & Pick<Stage, 'put'>> }

const acts: Act[] = []

/** A route that does what the test has in hand. */
function addActs (app: FastifyInstance): void {
  app.post('/act/:index', async request => {
    const { index } = request.params as { index: string }
    await acts[Number(index)]?.(request.session as unknown as Loose)
    return {}
  })
}

async function act (visitor: Visitor, run: Act, app?: FastifyInstance): Promise<Answer> {
  const answer = await visitor.send({ method: 'POST', url: `/act/${acts.push(run) - 1}` }, app)
  visitor.receive(answer)
  return answer
}

/** What a request of the visitor sees. */
async function look (visitor: Visitor, app?: FastifyInstance): Promise<Record<string, any>> {
  let data: Record<string, any> | undefined
  await act(visitor, session => { data = session.data() }, app)
  if (data === undefined) throw new Error('The session could not be read.')
  return data
}

/** A visitor with a session of this data, and the key of its record. */
async function begin (house: House, data: Record<string, unknown>): Promise<{ visitor: Visitor, key: string }> {
  const visitor = new Visitor(house.app, house.clock.now)
  let key = ''
  await act(visitor, session => {
    for (const [name, value] of Object.entries(data)) session.set(name, value)
    key = session.loggableId ?? ''
  })
  house.take()
  return { visitor, key }
}

async function start (t: Test, options: DynamoSessionOptions, log: LogLines): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: 'trace', stream: log } })
  t.teardown(async () => { await app.close() })
  await app.register(dynamoSession, options)
  addActs(app)
  await app.ready()
  return app
}

function onTable (engine: Engine): Table {
  return {
    open: async (t, session = {}) => {
      const stage = await setStage(t, engine, { session: { encryptionKeys: KEY, ...session }, routes: addActs, fastify: {} })
      const { app, log, clock, proxy, put, table } = stage
      const idOf = (key: string): string => `${session.keyPrefix ?? ''}${key}`
      return {
        app,
        log,
        clock,
        put,
        another: async (own = {}) => {
          const another = await start(t, {
            table, client: clientConfig(proxy.endpoint), now: clock.now, verify: false, timeout: 30, encryptionKeys: KEY, ...session, ...own
          }, log)
          proxy.take()
          return another
        },
        take: () => proxy.take().map(action => action === 'GetItem' ? 'read' : 'write'),
        record: async key => await stage.item(idOf(key)),
        values: async key => new Map(Object.entries((await stage.item(idOf(key)))?.['data']?.M ?? {})),
        plant: async (key, name, value) => {
          const item = await stage.item(idOf(key))
          await put({ ...item, id: { S: idOf(key) }, data: { M: { ...item?.['data']?.M, [name]: value } } })
        },
        refuseOneCreate: () => { proxy.meet('PutItem', faults.error('ConditionalCheckFailedException')) },
        loseOneAnswer: to => { proxy.meet(to === 'create' ? 'PutItem' : 'UpdateItem', faults.resetAfter) }
      }
    }
  }
}

const inMemory: Store = {
  open: async (t, session = {}) => {
    const [repository, log, clock] = [new FaultyRepository(), new LogLines(), new Clock()]
    const another = async (own: Partial<DynamoSessionOptions> = {}) =>
      await start(t, { table: 'sessions', client: repository, now: clock.now, encryptionKeys: KEY, ...session, ...own }, log)
    const record = async (key: string) => {
      const found = await repository.load(key, true)
      repository.calls.pop()
      return found
    }
    return {
      app: await another(),
      log,
      clock,
      another,
      take: () => repository.take().map(call => call === 'load' ? 'read' : 'write'),
      record,
      values: async key => (await record(key))?.data ?? new Map(),
      plant: async (key, name, value) => {
        const base = await record(key)
        if (base === null) throw new Error('There is no such record.')
        await repository.save(key, { set: new Map([[name, value]]), delete: [], settings: {}, renewal: undefined, base, now: clock.seconds })
        repository.take()
      },
      refuseOneCreate: () => { repository.meet('create', () => false) },
      loseOneAnswer: to => { repository.meet(to, 'fail after') }
    }
  }
}

const BASIC = { text: CANARY, cart: [{ sku: CANARY, amount: 1 }], profile: { name: { first: CANARY } }, count: 1, nothing: null }
const NATIVE = { ...BASIC, blob: new Uint8Array(Buffer.from(CANARY)), deep: [{ bytes: new Uint8Array([1, 2]) }], tags: new Set([CANARY, 'b']), big: 2n ** 100n }

/** Formats, each with a session that only it could hold. */
const FORMATS: ReadonlyArray<{ readonly name: string, readonly format: NonNullable<DynamoSessionOptions['format']>, readonly data: typeof BASIC }> = [
  { name: 'json', format: 'json', data: BASIC },
  { name: 'native', format: 'native', data: NATIVE },
  {
    name: 'a codec',
    format: { name: 'v8', encode: value => serialize(value), decode: stored => deserialize(stored as Uint8Array) as unknown },
    data: { ...NATIVE, ...{ map: new Map([[CANARY, new Date(0)]]) } }
  }
]

function bytesOf (value: StoredValue | undefined): Buffer {
  if (value?.B === undefined) throw new Error(`The value is not stored as bytes: ${Object.keys(value ?? {}).join()}`)
  return Buffer.from(value.B)
}

/** The names of the keys whose values are stored in another way than before. */
function changed (before: Stored, after: Stored): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].filter(name => {
    const [old, present] = [before.get(name), after.get(name)]
    return old === undefined || present === undefined || !bytesOf(old).equals(bytesOf(present))
  })
}

function latch () {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  return { open, opened }
}

/** A request that stands still in its handler, with its session read, while another runs. */
async function during (visitor: Visitor, first: Act, second: () => Promise<unknown>, app?: FastifyInstance): Promise<Answer> {
  const [entered, released] = [latch(), latch()]
  const answer = act(visitor, async session => {
    await first(session)
    entered.open()
    await released.opened
  }, app)
  await entered.opened
  await second()
  released.open()
  return await answer
}

function testFormat (t: Test, store: Store, { name, format, data }: typeof FORMATS[number]): void {
  let shared: Promise<House> | undefined
  /** One house for all tests that ask for nothing else: each has a visitor of its own. */
  const open = async (): Promise<House> => await (shared ??= store.open(t, { format }))

  t.test(`${name}: what is stored is sealed, value by value, and comes back whole`, async t => {
    const house = await open()
    const { visitor, key } = await begin(house, data)
    const values = await house.values(key)
    t.same([...values.keys()].sort(), Object.keys(data).sort(), 'names are not sealed')
    for (const [member, value] of values) {
      t.ok((Number(bytesOf(value)[4]) & SEALED) !== 0, member)
      t.equal(bytesOf(value).indexOf(CANARY), -1, member)
    }
    const other = await house.another()
    t.strictSame(await look(visitor), data)
    t.strictSame(await look(visitor, other), data)
    t.same(house.take(), ['read', 'read'])
  })

  t.test(`${name}: what is read and not changed, or set to what it is, is not written`, async t => {
    const house = await open()
    const { visitor, key } = await begin(house, data)
    const before = await house.record(key)
    await act(visitor, session => { for (const member of session.keys()) session.get(member) })
    await act(visitor, session => { for (const [member, value] of Object.entries(data)) session.set(member, structuredClone(value)) })
    await act(visitor, async session => {
      session.get('cart').push('x')
      session.get('cart').pop()
      await session.save()
    })
    t.same(house.take(), ['read', 'read', 'read'])
    t.strictSame(await house.record(key), before)
  })

  t.test(`${name}: a change inside a value is one write, of that value`, async t => {
    const house = await open()
    const { visitor, key } = await begin(house, data)
    const before = await house.values(key)
    await act(visitor, session => {
      session.get('profile').name.first = 'Ann'
      session.get('cart')
    })
    t.same(house.take(), ['read', 'write'])
    t.same(changed(before, await house.values(key)), ['profile'])
    t.strictSame(await look(visitor), { ...data, profile: { name: { first: 'Ann' } } })
    await act(visitor, session => { session.delete('profile') })
    t.same(changed(before, await house.values(key)), ['profile'])
    t.notOk('profile' in await look(visitor))
  })

  t.test(`${name}: what two instances change at once is kept of both`, async t => {
    const house = await open()
    const other = await house.another()
    const { visitor } = await begin(house, data)
    const answer = await during(visitor, session => { session.get('cart').push('first') },
      async () => { await act(visitor, session => { session.set('count', 2) }, other) })
    t.equal(answer.statusCode, 200)
    t.strictSame(await look(visitor), { ...data, cart: [...data.cart, 'first'], count: 2 })
  })

  t.test(`${name}: increments of two instances are all counted, and go by what is stored`, async t => {
    const house = await open()
    const apps = [house.app, await house.another()]
    // What is sealed is bytes in every format, so one is enough for many.
    const increments = format === 'json' ? 20 : 6
    const { visitor } = await begin(house, { ...data, count: 0 })
    const answers = await Promise.all(Array.from({ length: increments }, async (_, index) =>
      await act(visitor, async session => { await session.update('count', (count: number) => count + 1) }, apps[index % 2])))
    t.same([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
    t.strictSame(await look(visitor), { ...data, count: increments })
  })

  t.test(`${name}: an update meets what another wrote in the meantime, and asks again`, async t => {
    const house = await open()
    const { visitor } = await begin(house, data)
    const asked: unknown[] = []
    await act(visitor, async session => {
      await session.update('count', async (count: number) => {
        asked.push(count)
        if (asked.length === 1) await act(visitor, other => { other.set('count', 10) })
        return count + 1
      })
    })
    t.same(asked, [1, 10])
    t.strictSame(await look(visitor), { ...data, count: 11 })
  })

  t.test(`${name}: an update of a value that the same request has written needs no other read`, async t => {
    const house = await open()
    const { visitor } = await begin(house, data)
    const asked: unknown[] = []
    await act(visitor, async session => {
      session.set('count', 5)
      await session.save()
      for (let index = 0; index < 3; index++) {
        await session.update('count', (count: number) => {
          asked.push(count)
          return count + 1
        })
      }
    })
    t.same(asked, [5, 6, 7])
    t.same(house.take(), ['read', 'write', 'write', 'write', 'write'])
  })

  t.test(`${name}: increments that queue in a process hand on what they wrote`, async t => {
    const house = await open()
    const { visitor } = await begin(house, { ...data, count: 0 })
    const all = latch()
    let entered = 0
    await Promise.all(Array.from({ length: 10 }, async () => await act(visitor, async session => {
      if (++entered === 10) all.open()
      await all.opened
      await session.update('count', (count: number) => count + 1)
    })))
    const calls = house.take()
    t.equal(calls.filter(call => call === 'write').length, 10)
    t.equal(calls.filter(call => call === 'read').length, 1, 'one for all of these requests, and none again')
    t.equal((await look(visitor))['count'], 10)
  })

  t.test(`${name}: an update that changes nothing writes nothing, and asks once`, async t => {
    const house = await open()
    const { visitor, key } = await begin(house, data)
    const before = await house.record(key)
    let asked = 0
    await act(visitor, async session => {
      await session.update('cart', value => {
        asked += 1
        return structuredClone(value)
      })
    })
    t.equal(asked, 1)
    t.same(house.take(), ['read', 'read'], 'confirmed by one strong read')
    t.strictSame(await house.record(key), before)
    await act(visitor, async session => {
      for (const expected of [2, 3]) {
        await session.update('count', () => {
          asked += 1
          return 2
        })
        t.equal(asked, expected, 'also where it is this request that wrote the value')
      }
    })
    t.same(house.take(), ['read', 'write', 'read'])
  })

  for (const [kind, keep, expected] of [['everything', true, data], ['named keys', ['cart', 'absent'], { cart: data.cart }], ['nothing', undefined, {}]] as const) {
    t.test(`${name}: a new record that keeps ${kind} has its values bound to itself`, async t => {
      const house = await open()
      const { visitor, key } = await begin(house, data)
      const old = await house.values(key)
      let next = ''
      await act(visitor, async session => {
        await session.regenerate(keep)
        session.set('fresh', [CANARY])
        next = session.loggableId ?? ''
      })
      t.same(house.take(), ['read', 'write', 'write'])
      t.not(next, key)
      t.strictSame(await look(visitor), { ...expected, fresh: [CANARY] })
      t.same(changed(old, await house.values(next)).sort(), [...new Set([...old.keys(), 'fresh'])].sort(), 'no value is stored as it was')
      await house.plant(next, 'cart', old.get('cart') as StoredValue)
      t.match(await act(visitor, session => session.get('cart')), { statusCode: 500 }, 'and one of the old record opens nowhere else')
    })
  }

  t.test(`${name}: 300 keys`, async t => {
    const house = await open()
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`key ${index}`, { index }]))
    const { visitor, key } = await begin(house, many)
    t.strictSame(await look(visitor), many)
    const before = await house.values(key)
    await act(visitor, session => { session.get('key 7').index = -1 })
    t.same(changed(before, await house.values(key)), ['key 7'])
    t.strictSame(await look(visitor), { ...many, 'key 7': { index: -1 } })
  })

  t.test(`${name}: a save over what others wrote is refused where that is asked for`, async t => {
    const house = await store.open(t, { format, conflict: 'reject' })
    const { visitor } = await begin(house, data)
    const answer = await during(visitor, session => { session.set('count', 3) }, async () => { await act(visitor, session => { session.set('text', 'other') }) })
    t.equal(answer.statusCode, 409)
    t.strictSame(await look(visitor), { ...data, text: 'other' })
    t.equal((await act(visitor, session => { session.set('count', 3) })).statusCode, 200)
    t.strictSame(await look(visitor), { ...data, text: 'other', count: 3 })
  })

  t.test(`${name}: an id that is taken is given up, and the values are bound to the next`, async t => {
    const house = await open()
    const visitor = new Visitor(house.app, house.clock.now)
    house.take()
    house.refuseOneCreate()
    t.equal((await act(visitor, session => { for (const [member, value] of Object.entries(data)) session.set(member, value) })).statusCode, 200)
    t.same(house.take().filter(call => call === 'write'), ['write', 'write'])
    t.strictSame(await look(visitor), data)
    house.refuseOneCreate()
    await act(visitor, async session => { await session.regenerate(true) })
    t.strictSame(await look(visitor), data)
  })
}

function testStore (t: Test, store: Store): void {
  for (const format of FORMATS) testFormat(t, store, format)

  t.test('an answer that is lost loses nothing, and the outcome is one', async t => {
    const house = await store.open(t)
    const { visitor } = await begin(house, BASIC)
    house.loseOneAnswer('save')
    const answer = await act(visitor, async session => {
      session.set('count', 2)
      await session.save().catch(async () => { await session.save() })
      session.get('cart').push('pear')
    })
    t.equal(answer.statusCode, 200)
    t.strictSame(await look(visitor), { ...BASIC, count: 2, cart: [...BASIC.cart, 'pear'] })
  })

  t.test('what is changed in the table is an error and stays there, and the rest can be used', async t => {
    const house = await store.open(t)
    const { visitor, key } = await begin(house, BASIC)
    const { key: elsewhere } = await begin(house, { text: 'of another visitor' })
    const stored = await house.values(key)
    const whole = bytesOf(stored.get('text'))
    const flipped = (index: number): StoredValue => {
      const bytes = Buffer.from(whole)
      bytes[index] = Number(bytes[index]) ^ 1
      return { B: bytes }
    }
    const tampered: Record<string, StoredValue> = {
      magic: flipped(0),
      marks: flipped(4),
      'name of the key': flipped(5),
      nonce: flipped(9),
      content: flipped(21),
      tag: flipped(whole.length - 1),
      cut: { B: whole.subarray(0, -1) },
      grown: { B: Buffer.concat([whole, Buffer.from([0])]) },
      'of another key': stored.get('cart') as StoredValue,
      'of another visitor': (await house.values(elsewhere)).get('text') as StoredValue,
      'never sealed': { S: JSON.stringify(`${CANARY} admin`) },
      'bytes never sealed': { B: Buffer.from(`${CANARY} admin`) },
      'a map': { M: { canary: { S: CANARY } } }
    }
    for (const [kind, value] of Object.entries(tampered)) {
      await house.plant(key, 'text', value)
      const before = await house.record(key)
      house.log.lines.splice(0)
      const answer = await act(visitor, session => {
        session.get('cart')
        session.get('text')
      })
      t.match([answer.statusCode, answer.json().code], [500, UNREADABLE], kind)
      t.notMatch(answer.body, CANARY)
      const text = JSON.stringify(house.log.lines)
      t.match(text, UNREADABLE, 'the log has it')
      t.notMatch(text, CANARY)
      t.notMatch(text, whole.toString('base64').slice(60, 80))
      t.strictSame(await house.record(key), before, 'and the record is as it was')
      let count: unknown
      t.equal((await act(visitor, session => { count = session.get('count') })).statusCode, 200)
      t.equal(count, 1)
    }
    await house.plant(key, 'text', stored.get('text') as StoredValue)
    t.strictSame(await look(visitor), BASIC, 'put back, it opens')
  })

  t.test('one value that cannot be read stands in nobody\'s way but its own', async t => {
    const house = await store.open(t)
    const beginBad = async () => {
      const begun = await begin(house, { good: [CANARY], bad: CANARY, other: 1 })
      await house.plant(begun.key, 'bad', (await house.values(begun.key)).get('other') as StoredValue)
      return begun
    }
    const bad = { code: UNREADABLE, statusCode: 500 }
    const ok = async (t: Test, visitor: Visitor, run: Act) => { t.equal((await act(visitor, run)).statusCode, 200) }

    await t.test('it is told where it is asked for', async t => {
      const { visitor, key } = await beginBad()
      const before = await house.record(key)
      await ok(t, visitor, async session => {
        t.same([session.has('bad'), session.keys().sort(), session.get('good')], [true, ['bad', 'good', 'other'], [CANARY]])
        t.throws(() => session.get('bad'), bad)
        t.throws(() => session.get('bad'), bad, 'each time')
        t.throws(() => session.data(), bad)
        t.throws(() => session.take('bad'), bad)
        await t.rejects(session.update('bad', () => 1), bad)
        await t.rejects(async () => { await session.regenerate(true) }, bad)
        await t.rejects(async () => { await session.regenerate(['bad']) }, bad)
        t.ok(session.has('bad'))
      })
      t.strictSame(await house.record(key), before, 'and nothing of all this was written')
    })

    await t.test('others are changed, and it stays', async t => {
      const { visitor, key } = await beginBad()
      const before = await house.values(key)
      await ok(t, visitor, async session => {
        session.get('good').push('x')
        await session.update('other', (value: number) => value + 1)
      })
      t.same(changed(before, await house.values(key)).sort(), ['good', 'other'])
    })

    await t.test('it is replaced by what is set', async t => {
      const { visitor } = await beginBad()
      await ok(t, visitor, session => { session.set('bad', 'anew') })
      t.strictSame(await look(visitor), { good: [CANARY], bad: 'anew', other: 1 })
    })

    await t.test('it is replaced by what is set, also where an update builds on that', async t => {
      const { visitor } = await beginBad()
      await ok(t, visitor, async session => {
        session.set('bad', 'anew')
        await session.update('bad', (value: string) => `${value} and on`)
      })
      t.strictSame(await look(visitor), { good: [CANARY], bad: 'anew and on', other: 1 })
    })

    await t.test('it is deleted', async t => {
      const { visitor } = await beginBad()
      await ok(t, visitor, session => { t.equal(session.delete('bad'), true) })
      t.strictSame(await look(visitor), { good: [CANARY], other: 1 })
    })

    await t.test('it goes when all is cleared', async t => {
      const { visitor } = await beginBad()
      await ok(t, visitor, session => {
        session.clear()
        session.set('good', 1)
      })
      t.strictSame(await look(visitor), { good: 1 })
    })

    await t.test('the session can be destroyed', async t => {
      const { visitor, key } = await beginBad()
      await ok(t, visitor, async session => { await session.destroy() })
      t.notOk(await house.record(key))
    })

    for (const keep of [undefined, ['good']]) {
      await t.test(`it can be replaced by one that keeps ${String(keep ?? 'nothing')}`, async t => {
        const { visitor } = await beginBad()
        await ok(t, visitor, async session => {
          await session.regenerate(keep)
          session.set('fresh', 1)
        })
        t.strictSame(await look(visitor), { ...keep === undefined ? {} : { good: [CANARY] }, fresh: 1 })
      })
    }
  })

  t.test('a new key is taken up value by value, as they are written', async t => {
    const house = await store.open(t, { encryptionKeys: OLD_KEY })
    const [during, after] = [await house.another({ encryptionKeys: [KEY, OLD_KEY] }), await house.another({ encryptionKeys: KEY })]
    const { visitor, key } = await begin(house, BASIC)
    const nameOf = async (member: string) => bytesOf((await house.values(key)).get(member)).subarray(5, 9).toString('hex')
    const old = await nameOf('text')
    t.strictSame(await look(visitor, during), BASIC)
    await act(visitor, session => { for (const [member, value] of Object.entries(BASIC)) session.set(member, structuredClone(value)) }, during)
    t.same(house.take(), ['read', 'read'], 'reading seals nothing anew, and neither does setting what is there')
    await act(visitor, session => { session.get('cart').push('pear') }, during)
    t.not(await nameOf('cart'), old)
    t.equal(await nameOf('text'), old)
    let cart: unknown
    await act(visitor, session => { cart = session.get('cart') }, after)
    t.same(cart, [...BASIC.cart, 'pear'])
    t.match((await act(visitor, session => session.get('text'), after)).json(), { code: UNREADABLE, message: /sealed with a key that is not among the "encryptionKeys"/ })
    t.equal(await nameOf('text'), old)
  })

  t.test('sessions from before sealing are taken until the date, and sealed as they are written', async t => {
    const house = await store.open(t, { encryptionKeys: undefined })
    const { visitor, key } = await begin(house, BASIC)
    const until = new Date(house.clock.ms + 60_000)
    const [accepting, strict] = [await house.another({ encryptionKeys: KEY, acceptPlainUntil: until }), await house.another({ encryptionKeys: KEY })]
    t.strictSame(await look(visitor, accepting), BASIC)
    t.match((await act(visitor, session => session.get('text'), strict)).json(), { code: UNREADABLE, message: /is not sealed/ })
    await act(visitor, session => { session.get('cart').push('pear') }, accepting)
    const values = await house.values(key)
    t.ok(values.get('cart')?.B)
    t.same(values.get('text'), { S: JSON.stringify(CANARY) })
    house.clock.ms = until.getTime() - 1
    t.strictSame(await look(visitor, accepting), { ...BASIC, cart: [...BASIC.cart, 'pear'] })
    house.clock.ms += 1
    t.match((await act(visitor, session => session.get('text'), accepting)).json(), { code: UNREADABLE, message: /is not sealed/ })
    t.equal((await act(visitor, session => session.get('cart'), accepting)).statusCode, 200)
    t.same((await house.values(key)).get('text'), { S: JSON.stringify(CANARY) }, 'and it is left as it is')
  })

  t.test('without keys a sealed session is refused in every format, and not read as bytes', async t => {
    for (const { format, data } of FORMATS) {
      const house = await store.open(t, { format })
      const { visitor, key } = await begin(house, data)
      const before = await house.record(key)
      const without = await house.another({ encryptionKeys: undefined })
      for (const member of Object.keys(data)) {
        const answer = await act(visitor, session => session.get(member), without)
        t.match(answer.json(), { statusCode: 500, code: UNREADABLE, message: /is sealed, and there are no "encryptionKeys"/ })
      }
      t.strictSame(await house.record(key), before)
    }
  })

  t.test('compressed values are read after compression was switched off, and written as they are then', async t => {
    for (const encryptionKeys of [undefined, KEY]) {
      const long = { text: CANARY.repeat(500), short: CANARY }
      const house = await store.open(t, { encryptionKeys, compress: true })
      const without = await house.another({ encryptionKeys, compress: false })
      const { visitor, key } = await begin(house, long)
      const sizeOf = async () => Number((await house.values(key)).get('text')?.B?.length)
      t.ok(await sizeOf() < 1000)
      t.strictSame(await look(visitor), long)
      t.strictSame(await look(visitor, without), long)
      await act(visitor, session => { session.set('text', long.text) }, without)
      t.same(house.take(), ['read', 'read', 'read'], 'the same value is no change')
      await act(visitor, session => { session.set('text', `${long.text}!`) }, without)
      t.strictSame(await look(visitor), { ...long, text: `${long.text}!` })
      if (encryptionKeys !== undefined) t.equal(await sizeOf(), `"${long.text}!"`.length + 37)
    }
  })
}

t.test('on dynalite', async t => {
  const engine = await startDynalite()
  t.teardown(async () => { await engine.close() })
  testStore(t, onTable(engine))

  t.test('a write that was applied and not answered is found by its repetition, though a seal is never made twice alike', async t => {
    const house = await onTable(engine).open(t)
    const visitor = new Visitor(house.app, house.clock.now)
    const ok = async (run: Act) => { t.equal((await act(visitor, run)).statusCode, 200) }
    house.loseOneAnswer('create')
    await ok(session => { for (const [name, value] of Object.entries(BASIC)) session.set(name, value) })
    house.loseOneAnswer('save')
    const asked: number[] = []
    await ok(async session => {
      await session.update('count', (count: number) => {
        asked.push(count)
        return count + 1
      })
    })
    t.same(asked, [1])
    for (const answer of ['create', 'save'] as const) {
      house.loseOneAnswer(answer)
      await ok(async session => { await session.regenerate(true) })
    }
    t.strictSame(await look(visitor), { ...BASIC, count: 2 })
  })

  t.test('what is counted against maxSize is what is stored: 37 bytes a value more', async t => {
    const sizeWith = async (options: Partial<DynamoSessionOptions>) => {
      const house = await onTable(engine).open(t, { maxSize: 1, encryptionKeys: undefined, ...options })
      const answer = await act(new Visitor(house.app, house.clock.now), session => {
        session.set('text', CANARY)
        session.set('long', 'x'.repeat(5000))
      })
      t.equal(answer.statusCode, 413)
      t.same(house.take(), [], 'nothing was sent')
      return Number(/would take (\d+) bytes/.exec(answer.json().message)?.[1])
    }
    const plain = await sizeWith({})
    t.equal(await sizeWith({ encryptionKeys: KEY }), plain + 2 * 37)
    const compressed = await sizeWith({ compress: true })
    t.ok(compressed < plain - 4700)
    t.equal(await sizeWith({ compress: true, encryptionKeys: KEY }), compressed + 32 + 37, 'a compressed value has its five bytes of header already')
  })

  t.test('records of two key prefixes do not open for each other', async t => {
    const shop = await onTable(engine).open(t, { keyPrefix: 'shop#' })
    const admin = await shop.another({ keyPrefix: 'admin#' })
    const { visitor, key } = await begin(shop, BASIC)
    const item = await shop.record(key) as Record<string, StoredValue>
    t.equal((await act(visitor, session => { t.equal(session.has('text'), false) }, admin)).statusCode, 200, 'there is none under the other prefix')
    await shop.put({ ...item, id: { S: `admin#${key}` } })
    t.match((await act(visitor, session => session.get('text'), admin)).json(), { code: UNREADABLE })
    t.strictSame(await look(visitor), BASIC)
  })
})

t.test('in memory', async t => { testStore(t, inMemory) })

t.test('a new record under another id, of which nothing more is known, has nothing left to write', async t => {
  for (const encryptionKeys of [undefined, KEY]) {
    const stage = setKeeper({ encryptionKeys })
    const { visit } = await openStored(stage, { a: 1, cart: ['x'] })
    await visit.regenerate(true)
    stage.repository.meet('create', () => false).meet('load', () => null).meet('replace', 'fail after').meet('load', 'fail before')
    await t.rejects(visit.save(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    t.same(stage.repository.take(), ['create', 'load', 'create', 'replace', 'load'])
    await visit.save()
    t.same(stage.repository.take(), [], encryptionKeys === undefined ? 'not sealed' : 'sealed')
  }
})
