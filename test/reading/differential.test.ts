import { Signer } from '@fastify/cookie'
import t from 'tap'
import { ours, theirs, type Subject } from '../support/subjects.js'
import { setCookieNames, setCookies, type Visitor } from '../support/visitor.js'

// The same visits to this plugin and to @fastify/session with its defaults on a correct store. What is expected of the other
// one was measured, and shows that these tests can fail; a change on either side is noticed.

type Seen = Readonly<Record<string, unknown>>

interface Row {
  readonly title: string
  readonly visit: (subject: Subject) => Promise<Seen>
  /** What is seen with this plugin. */
  readonly ours: Seen
  /** What is seen with @fastify/session. */
  readonly theirs: Seen
}

const rows: Row[] = [
  {
    title: 'a log-out while a save is held',
    visit: async subject => await endDuring(subject, 'POST', '/set', async ann => { await ann.post('/logout') }),
    ours: { alive: 0, oldToken: 'dead', jar: 'nobody' },
    theirs: { alive: 1, oldToken: 'alive', jar: 'u-42' }
  },
  {
    title: 'a log-out while a renewal is held',
    visit: async subject => await endDuring(subject, 'GET', '/touch', async ann => { await ann.post('/logout') }),
    ours: { alive: 0, oldToken: 'dead', jar: 'nobody' },
    theirs: { alive: 1, oldToken: 'alive', jar: 'u-42' }
  },
  {
    title: 'the record is swept while a save is held',
    visit: async subject => await endDuring(subject, 'POST', '/set', async () => { await subject.sweep() }),
    ours: { alive: 0, oldToken: 'dead', jar: 'nobody' },
    theirs: { alive: 1, oldToken: 'alive', jar: 'u-42' }
  },
  {
    title: 'two requests change different keys',
    visit: async subject => {
      const ann = await signIn(subject)
      await overtake(subject, async () => await ann.post('/set', { 'any:a': 1 }), async () => await ann.post('/set', { 'any:b': 2 }))
      const seen = await subject.open(ann.cookieHeader())
      return { a: seen['any:a'] ?? 'lost', b: seen['any:b'] ?? 'lost' }
    },
    ours: { a: 1, b: 2 },
    theirs: { a: 1, b: 'lost' }
  },
  {
    title: '20 increments at once, in two processes',
    visit: async subject => {
      const ann = await signIn(subject)
      const other = await subject.another()
      const answers = await Promise.all(Array.from({ length: 20 }, async (_, index) =>
        await ann.send({ method: 'POST', url: '/increment' }, index % 2 === 0 ? undefined : other)))
      const { count } = await subject.open(ann.cookieHeader())
      const { length: acknowledged } = answers.filter(({ statusCode }) => statusCode === 200)
      return { acknowledged, counted: Number(count) < 20 ? 'fewer' : count }
    },
    ours: { acknowledged: 20, counted: 20 },
    theirs: { acknowledged: 20, counted: 'fewer' }
  },
  {
    title: 'a log-in while a save under the old token is held, whose answer comes last',
    visit: async subject => {
      const ann = await visitAnonymously(subject)
      const before = ann.cookieHeader()
      await overtake(subject, async () => await ann.post('/set', { 'any:b': 2 }), async () => await ann.post('/login'))
      const { length: alive } = await subject.keys()
      const oldToken = 'any:a' in await subject.open(before) ? 'alive' : 'dead'
      return { alive, oldToken, jar: await whoIs(subject, ann) }
    },
    ours: { alive: 1, oldToken: 'dead', jar: 'u-42' },
    theirs: { alive: 2, oldToken: 'alive', jar: 'nobody' }
  },
  {
    title: 'right after a log-in, a page asked for with the old token does not use the session',
    visit: async subject => await lateArrival(subject, 'GET', '/nothing'),
    ours: { statusCode: 200, alive: 1, jar: 'u-42' },
    theirs: { statusCode: 200, alive: 2, jar: 'nobody' }
  },
  {
    title: 'right after a log-in, a page asked for with the old token reads the session',
    visit: async subject => await lateArrival(subject, 'GET', '/me'),
    ours: { statusCode: 200, alive: 1, jar: 'u-42' },
    theirs: { statusCode: 200, alive: 2, jar: 'nobody' }
  },
  {
    title: 'right after a log-in, a page asked for with the old token changes the session',
    visit: async subject => await lateArrival(subject, 'POST', '/set'),
    ours: { statusCode: 200, alive: 1, jar: 'u-42' },
    theirs: { statusCode: 200, alive: 2, jar: 'nobody' }
  },
  {
    title: 'two log-ins at once',
    visit: async subject => {
      const ann = await visitAnonymously(subject)
      const { late, early } = await overtake(subject, async () => await ann.post('/login'), async () => await ann.post('/login'))
      const tokens = [late, early].filter(answer => setCookieNames(answer).includes(subject.cookieName)).length
      return { first: early.statusCode, second: late.statusCode, tokens, alive: (await subject.keys()).length }
    },
    ours: { first: 200, second: 409, tokens: 1, alive: 1 },
    theirs: { first: 200, second: 200, tokens: 2, alive: 2 }
  },
  {
    title: 'a log-in whose first write fails',
    visit: async subject => {
      const ann = await visitAnonymously(subject)
      subject.traffic.fail('write', 1)
      const { statusCode } = await ann.post('/login')
      return { statusCode, dataBefore: (await subject.open(ann.cookieHeader()))['any:a'] === 1 ? 'kept' : 'lost' }
    },
    ours: { statusCode: 503, dataBefore: 'kept' },
    theirs: { statusCode: 500, dataBefore: 'lost' }
  },
  {
    title: 'the store is down',
    visit: async subject => {
      const ann = await signIn(subject)
      const token = ann.cookie(subject.cookieName)
      const outage = subject.traffic.fail('any')
      const anonymous = await subject.visitor().get('/nothing')
      const switchedOff = await ann.get('/off')
      const unused = await ann.get('/nothing')
      const signedIn = await ann.get('/me')
      const cookie = ann.cookie(subject.cookieName) === token ? 'kept' : 'lost'
      outage.recover()
      return {
        anonymous: anonymous.statusCode,
        switchedOff: switchedOff.statusCode,
        unused: unused.statusCode,
        signedIn: signedIn.statusCode,
        retryAfter: signedIn.headers['retry-after'] ?? 'none',
        cookie,
        afterwards: (await ann.get('/me')).json<Seen>()['userId']
      }
    },
    ours: { anonymous: 200, switchedOff: 200, unused: 503, signedIn: 503, retryAfter: '1', cookie: 'kept', afterwards: 'u-42' },
    theirs: { anonymous: 500, switchedOff: 500, unused: 500, signedIn: 500, retryAfter: 'none', cookie: 'kept', afterwards: 'u-42' }
  },
  {
    title: 'the store reads but cannot write',
    visit: async subject => {
      const ann = await signIn(subject)
      subject.traffic.fail('change')
      const read = await ann.get('/me')
      const change = await ann.post('/set', { 'any:a': 1 })
      return { read: read.statusCode, change: change.statusCode, retryAfter: change.headers['retry-after'] ?? 'none' }
    },
    ours: { read: 200, change: 503, retryAfter: '1' },
    theirs: { read: 500, change: 500, retryAfter: 'none' }
  },
  {
    title: 'the save before a stream fails',
    visit: async subject => {
      const ann = await signIn(subject)
      subject.traffic.fail('write')
      const { statusCode } = await ann.get('/stream')
      const stream = subject.streams[0]?.destroyed === true ? 'destroyed' : 'left open'
      return { statusCode, writes: subject.traffic.take().write, stream }
    },
    ours: { statusCode: 503, writes: 1, stream: 'destroyed' },
    theirs: { statusCode: 500, writes: 2, stream: 'left open' }
  },
  {
    title: 'a creation that fails once',
    visit: async subject => {
      subject.traffic.fail('write', 1)
      const answer = await subject.visitor().post('/set', { 'any:a': 1 })
      const { length: records } = await subject.keys()
      return { statusCode: answer.statusCode, cookies: setCookies(answer).length, writes: subject.traffic.take().write, records }
    },
    ours: { statusCode: 503, cookies: 0, writes: 1, records: 0 },
    theirs: { statusCode: 500, cookies: 1, writes: 2, records: 1 }
  },
  {
    title: '20 anonymous pages, 20 that read the session, and 20 that do not exist',
    visit: async subject => {
      const urls = Array.from({ length: 20 }, (_, index) => ['/nothing', '/me', `/missing/${index}`]).flat()
      const answers = await Promise.all(urls.map(async url => await subject.visitor().get(url)))
      return { ...subject.traffic.take(), cookies: answers.flatMap(setCookies).length }
    },
    ours: { read: 0, write: 0, delete: 0, cookies: 0 },
    theirs: { read: 0, write: 60, delete: 0, cookies: 60 }
  },
  {
    title: '20 reads of a visitor who is signed in, five seconds apart',
    visit: async subject => {
      const ann = await signIn(subject)
      let cookies = 0
      for (let index = 0; index < 20; index++) {
        subject.clock.forward(5)
        cookies += setCookies(await ann.get('/me')).length
      }
      return { ...subject.traffic.take(), cookies }
    },
    ours: { read: 20, write: 0, delete: 0, cookies: 0 },
    theirs: { read: 20, write: 20, delete: 0, cookies: 20 }
  },
  {
    title: 'changes of a handler that fails with 500',
    visit: async subject => {
      const ann = await signIn(subject)
      const { statusCode } = await ann.post('/set-and-fail')
      return { statusCode, stored: 'any:a' in await subject.open(ann.cookieHeader()) }
    },
    ours: { statusCode: 500, stored: false },
    theirs: { statusCode: 500, stored: true }
  },
  {
    title: 'a change while the answer streams',
    visit: async subject => await changeLate(subject, '/set-while-streaming'),
    ours: { stored: false, warned: 1 },
    theirs: { stored: false, warned: 0 }
  },
  {
    title: 'a change after the answer was sent',
    visit: async subject => await changeLate(subject, '/set-after-answer'),
    ours: { stored: false, warned: 1 },
    theirs: { stored: false, warned: 0 }
  },
  {
    title: 'a change on a hijacked reply',
    visit: async subject => await changeLate(subject, '/set-and-hijack'),
    ours: { stored: false, warned: 1 },
    theirs: { stored: false, warned: 0 }
  },
  {
    title: 'a log-in that looks like plain http',
    visit: async subject => {
      const answer = await subject.visitor().post('/login', {}, { headers: { 'x-forwarded-proto': 'http' } })
      const isSent = setCookieNames(answer).includes(subject.cookieName)
      return { statusCode: answer.statusCode, cookie: isSent ? 'sent' : 'not sent', warned: subject.log.warnings().length }
    },
    ours: { statusCode: 200, cookie: 'sent', warned: 1 },
    theirs: { statusCode: 200, cookie: 'not sent', warned: 0 }
  },
  {
    title: 'a log-out and the cookie',
    visit: async subject => {
      const ann = await signIn(subject)
      const { statusCode } = await ann.post('/logout')
      return { statusCode, kept: ann.cookieNames().includes(subject.cookieName) }
    },
    ours: { statusCode: 200, kept: false },
    theirs: { statusCode: 200, kept: true }
  },
  {
    title: 'the headers of a log-in',
    visit: async subject => {
      const answer = await subject.visitor().post('/login')
      const text = setCookies(answer).find(text => text.startsWith(`${subject.cookieName}=`)) ?? ''
      const [, ...attributes] = text.split('; ')
      const { vary = 'none', 'cache-control': cacheControl = 'none' } = answer.headers
      return { attributes: attributes.sort().join('; '), vary, cacheControl }
    },
    ours: { attributes: 'HttpOnly; Path=/; SameSite=Lax; Secure', vary: 'Cookie', cacheControl: 'no-store' },
    theirs: { attributes: 'HttpOnly; Path=/; Secure', vary: 'none', cacheControl: 'none' }
  },
  {
    title: 'the raw id in what is stored',
    visit: async subject => {
      const ann = await signIn(subject)
      const [id = ''] = (ann.cookie(subject.cookieName) ?? '').split('.')
      return { isThere: (await subject.text()).includes(id) }
    },
    ours: { isThere: false },
    theirs: { isThere: true }
  },
  {
    title: 'a stored key, signed with a secret that leaked',
    visit: async subject => {
      await signIn(subject)
      const [key = ''] = await subject.keys()
      return await present(subject, subject.sign(key))
    },
    ours: { signedIn: false, read: 1, write: 0, delete: 0, cookies: 0 },
    theirs: { signedIn: true, read: 1, write: 1, delete: 0, cookies: 1 }
  },
  {
    title: 'the id of a stored session under a forged signature',
    visit: async subject => {
      const [id = ''] = ((await signIn(subject)).cookie(subject.cookieName) ?? '').split('.')
      return await present(subject, new Signer('somebody else\'s secret of 32 characters').sign(id))
    },
    ours: { signedIn: false, read: 0, write: 0, delete: 0, cookies: 0 },
    theirs: { signedIn: false, read: 0, write: 1, delete: 0, cookies: 1 }
  },
  {
    title: 'the id of a stored session without a signature',
    visit: async subject => {
      const [id = ''] = ((await signIn(subject)).cookie(subject.cookieName) ?? '').split('.')
      return await present(subject, id)
    },
    ours: { signedIn: false, read: 0, write: 0, delete: 0, cookies: 0 },
    theirs: { signedIn: false, read: 0, write: 1, delete: 0, cookies: 1 }
  }
]

/** Who has logged in, and nothing else counted yet. */
async function signIn (subject: Subject): Promise<Visitor> {
  const ann = subject.visitor()
  await ann.post('/login')
  subject.traffic.take()
  return ann
}

/** Who has a session from before a log-in. */
async function visitAnonymously (subject: Subject): Promise<Visitor> {
  const ann = subject.visitor()
  await ann.post('/set', { 'any:a': 1 })
  subject.traffic.take()
  return ann
}

type Answer = Awaited<ReturnType<Visitor['post']>>

/** The first request stops before its first change of the store, and ends after the second one has run as a whole. */
async function overtake<T> (subject: Subject, first: () => Promise<Answer>, second: () => Promise<T>): Promise<{ late: Answer, early: T }> {
  const hold = subject.traffic.hold('change')
  const overtaken = first()
  // Without a change of its own the gate would stop the second one, for ever.
  const unheld = overtaken.then(() => { throw new Error('The first request ended without a change.') })
  const early = await Promise.race([hold.reached, unheld]).then(second).finally(hold.release)
  return { late: await overtaken, early }
}

/** A session ends while a request is under way that would write it. */
async function endDuring (subject: Subject, method: 'GET' | 'POST', url: string, end: (ann: Visitor) => Promise<void>): Promise<Seen> {
  const ann = await signIn(subject)
  const token = ann.cookieHeader()
  subject.clock.forward(5)
  const payload = method === 'POST' ? { payload: { 'any:a': 1 } } : {}
  await overtake(subject, async () => await ann.request({ method, url, ...payload }), async () => { await end(ann) })
  const { length: alive } = await subject.keys()
  return { alive, oldToken: 'userId' in await subject.open(token) ? 'alive' : 'dead', jar: await whoIs(subject, ann) }
}

/** A visitor logs in, and then the answer arrives to a request that was sent with the token of before. */
async function lateArrival (subject: Subject, method: 'GET' | 'POST', url: string): Promise<Seen> {
  const ann = await visitAnonymously(subject)
  const before = ann.cookieHeader()
  await ann.post('/login')
  const payload = method === 'POST' ? { payload: { 'any:b': 2 } } : {}
  const { statusCode } = await ann.request({ method, url, headers: { cookie: before }, ...payload })
  const { length: alive } = await subject.keys()
  return { statusCode, alive, jar: await whoIs(subject, ann) }
}

/** Whom the browser's cookies sign in. */
async function whoIs (subject: Subject, visitor: Visitor): Promise<unknown> {
  return (await subject.open(visitor.cookieHeader()))['userId'] ?? 'nobody'
}

async function changeLate (subject: Subject, url: string): Promise<Seen> {
  const ann = await signIn(subject)
  await ann.get(url)
  const stored = 'any:a' in await subject.open(ann.cookieHeader())
  return { stored, warned: subject.log.warnings().filter(text => /session/i.test(text)).length }
}

/** Somebody presents a token of their own making. */
async function present (subject: Subject, token: string): Promise<Seen> {
  subject.traffic.take()
  const mallory = subject.visitor()
  mallory.plant(subject.cookieName, token)
  const answer = await mallory.get('/me')
  return { signedIn: 'userId' in answer.json<Seen>(), ...subject.traffic.take(), cookies: setCookies(answer).length }
}

function inWords (seen: Seen): string {
  return Object.entries(seen).map(([name, value]) => `${name} ${String(value)}`).join(', ')
}

for (const { title, visit, ...expected } of rows) {
  t.test(title, async t => {
    for (const [name, make] of [['ours', ours], ['theirs', theirs]] as const) {
      const subject = await make()
      t.strictSame(await visit(subject).finally(subject.close), expected[name], name)
    }
    t.strictNotSame(expected.ours, expected.theirs, 'a row that shows no difference proves nothing')
  })
}

t.test('the table', async t => {
  for (const { title, ...expected } of rows) {
    t.comment(`${title}\n  ours    ${inWords(expected.ours)}\n  theirs  ${inWords(expected.theirs)}`)
  }
  t.equal(new Set(rows.map(({ title }) => title)).size, rows.length, 'each row has a title of its own')
})
