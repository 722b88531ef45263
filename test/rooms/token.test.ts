import crypto, { createHash } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { Signer } from '@fastify/cookie'
import t from 'tap'
import { hash, makeProbeKey, makeWriteToken, Tokens } from '../../lib/token.js'

const SECRET = 'a secret that is long enough to sign with'
const OLD_SECRET = 'another secret, which was the newest once'

/** Randomness that is none: bytes of one value. */
const sevens = (bytes: number): Buffer => Buffer.alloc(bytes, 7)
const ID = sevens(32).toString('base64url')
const KEY = createHash('sha256').update(ID).digest('base64url')

/** The same text with another character at one place. */
function change (text: string, index: number, character: string): string {
  return text.slice(0, index) + character + text.slice(index + 1)
}

/** Texts that are no id of 32 bytes, each for another reason. */
const NO_IDS: Readonly<Record<string, string>> = {
  empty: '',
  'one character short': ID.slice(1),
  'one character long': `${ID}A`,
  huge: 'A'.repeat(1_000_000),
  'not ASCII': change(ID, 5, 'é'),
  'with a letter that looks like one': change(ID, 5, 'а'),
  'with a lone surrogate': change(ID, 5, '\ud800'),
  'with a space': change(ID, 0, ' '),
  'with a line break at its end': change(ID, 42, '\n'),
  'with a zero byte': change(ID, 7, '\0'),
  'of the other base64': change(ID, 3, '+'),
  'with padding': change(ID, 42, '='),
  'percent-broken': change(change(ID, 3, '%'), 4, 'z'),
  // The last of 43 characters carries 4 bits: of each 4 texts with the same bytes, one is canonical.
  'of the same bytes, not canonical': change(ID, 42, String.fromCharCode(ID.charCodeAt(42) + 1)),
  'a path': '../'.repeat(14) + 'x'
}

t.test('an id is as many random bytes as configured, in base64url', async t => {
  for (const bytes of [16, 17, 18, 32, 64, 1024]) {
    const asked: number[] = []
    const tokens = new Tokens(bytes, undefined, count => {
      asked.push(count)
      return Buffer.alloc(count, 0xfb)
    })
    const id = tokens.makeId()
    t.same(asked, [bytes])
    t.equal(id, Buffer.alloc(bytes, 0xfb).toString('base64url'))
    t.equal(tokens.length, id.length)
    t.strictSame(tokens.check(id), { id, outdated: false })
    t.equal(new Tokens(bytes, [SECRET]).length, new Tokens(bytes, [SECRET]).sign(id).length)
  }
})

t.test('without randomness handed in, ids come from the system and differ', async t => {
  const tokens = new Tokens(16, undefined)
  const ids = Array.from({ length: 100 }, () => tokens.makeId())
  t.equal(new Set(ids).size, 100)
  t.ok(ids.every(id => tokens.check(id)?.id === id))
})

t.test('without secrets, a token is its id', async t => {
  const tokens = new Tokens(32, undefined, sevens)
  t.equal(tokens.sign(ID), ID)
  t.strictSame(tokens.check(ID), { id: ID, outdated: false })
})

t.test('with secrets, a token is its id and a signature, and comes back as the id', async t => {
  const tokens = new Tokens(32, [SECRET], sevens)
  const token = tokens.sign(ID)
  t.match(token, /^[A-Za-z0-9_-]{43}\.[A-Za-z0-9+/]{43}$/)
  t.equal(token, new Signer(SECRET).sign(ID), 'as @fastify/cookie signs it')
  t.strictSame(tokens.check(token), { id: ID, outdated: false })
})

for (const [name, text] of Object.entries(NO_IDS)) {
  t.test(`a text that is ${name} is no token and no id`, async t => {
    const plain = new Tokens(32, undefined)
    t.equal(plain.check(text), null)
    t.equal(plain.keyOf(text), null)
    const signed = new Tokens(32, [SECRET])
    t.equal(signed.check(text), null)
    t.equal(signed.check(signed.sign(text)), null, 'also where the signature is good')
    t.equal(signed.check(`${text}.${'A'.repeat(43)}`), null)
  })
}

t.test('a text that only decodes to the bytes of an id is refused, so that one id has one text', async t => {
  const tokens = new Tokens(32, undefined)
  const twins = ['A', 'B', 'C', 'D'].map(last => change('A'.repeat(43), 42, last))
  t.equal(new Set(twins.map(text => Buffer.from(text, 'base64url').toString('hex'))).size, 1)
  t.same(twins.map(text => tokens.check(text) !== null), [true, false, false, false])
})

t.test('a signature that was touched is refused at every place', async t => {
  const tokens = new Tokens(32, [SECRET])
  const token = tokens.sign(ID)
  for (let index = 0; index < token.length; index++) {
    const other = token[index] === 'A' ? 'B' : 'A'
    t.equal(tokens.check(change(token, index, other)), null, `character ${index}`)
  }
  t.equal(tokens.check(tokens.sign(`${ID}.${ID}`)), null)
  t.equal(tokens.check(`${ID}${'.'.repeat(44)}`), null)
})

t.test('a token of one way is none of the other', async t => {
  t.equal(new Tokens(32, [SECRET]).check(ID), null)
  t.equal(new Tokens(32, undefined).check(new Tokens(32, [SECRET]).sign(ID)), null)
})

t.test('tokens are signed with the newest secret; an older one still passes, and is told to be outdated', async t => {
  const before = new Tokens(32, [OLD_SECRET])
  const now = new Tokens(32, [SECRET, OLD_SECRET])
  const after = new Tokens(32, [SECRET])
  t.strictSame(now.check(before.sign(ID)), { id: ID, outdated: true })
  t.strictSame(now.check(now.sign(ID)), { id: ID, outdated: false })
  t.strictSame(after.check(now.sign(ID)), { id: ID, outdated: false })
  t.equal(after.check(before.sign(ID)), null, 'a secret that was taken out signs nothing any more')
})

t.test('the secrets are those of the beginning, whatever becomes of the array', async t => {
  const secrets = [SECRET]
  const tokens = new Tokens(32, secrets)
  const token = tokens.sign(ID)
  secrets[0] = OLD_SECRET
  t.equal(tokens.sign(ID), token)
  t.not(tokens.check(token), null)
})

t.test('nothing is hashed before the gate of length and alphabet', async t => {
  const tokens = new Tokens(32, [SECRET])
  const { hash: digest, createHmac } = crypto
  let hashes = 0
  let signatures = 0
  t.teardown(() => {
    Object.assign(crypto, { hash: digest, createHmac })
    syncBuiltinESMExports()
  })
  Object.assign(crypto, {
    hash: (...args: Parameters<typeof digest>) => { hashes++; return digest(...args) },
    createHmac: (...args: Parameters<typeof createHmac>) => { signatures++; return createHmac(...args) }
  })
  syncBuiltinESMExports()
  const bad = [
    ...Object.values(NO_IDS), ...Object.values(NO_IDS).map(text => `${text}.${'A'.repeat(43)}`),
    ID, `${ID}A${'A'.repeat(43)}`, `${ID}.${'A'.repeat(42)}`, `${ID}.${'-'.repeat(43)}`, `${ID}.${'é'.repeat(43)}`, `${ID}.${'.'.repeat(43)}`, `${ID}.${'A'.repeat(42)}\n`
  ]
  for (const token of bad) t.equal(tokens.check(token), null)
  for (const text of Object.values(NO_IDS)) t.equal(tokens.keyOf(text), null)
  t.same([signatures, hashes], [0, 0])
  t.equal(tokens.check(`${ID}.${'A'.repeat(43)}`), null)
  t.same([signatures, hashes], [1, 0], 'what looks like a token is worth a comparison')
  t.equal(tokens.keyOf(ID), KEY)
  t.same([signatures, hashes], [1, 1])
})

t.test('an id has one text only: of all signs in the last place, those whose spare bits are zero', async t => {
  for (const bytes of [18, 16, 17]) {
    const tokens = new Tokens(bytes, undefined)
    const start = tokens.makeId().slice(0, -1)
    const signs = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_']
    const taken = signs.filter(sign => tokens.check(start + sign) !== null)
    t.same(taken, signs.filter(sign => Buffer.from(start + sign, 'base64url').toString('base64url') === start + sign))
    t.equal(taken.length, { 18: 64, 17: 16, 16: 4 }[bytes])
  }
})

t.test('the stored key is the SHA-256 of the id, in base64url', async t => {
  t.equal(hash(ID), KEY)
  t.equal(KEY.length, 43)
  t.equal(new Tokens(32, undefined).keyOf(ID), KEY)
  t.equal(new Tokens(32, [SECRET]).keyOf(ID), KEY, 'with and without secrets, so that both find the same sessions')
})

t.test('a stored key is worthless as a token: it leads to another key, and is refused where tokens are signed', async t => {
  const tokens = new Tokens(32, undefined)
  t.strictSame(tokens.check(KEY), { id: KEY, outdated: false }, 'it has the form of an id')
  t.not(tokens.keyOf(KEY), KEY)
  t.equal(new Tokens(32, [SECRET]).check(KEY), null)
  t.equal(new Tokens(16, undefined).check(KEY), null, 'and not even the form, where ids have another length')
})

t.test('a write token is short, random and fit for an attribute name', async t => {
  const tokens = Array.from({ length: 1000 }, makeWriteToken)
  t.ok(tokens.every(token => /^[A-Za-z0-9_-]{8}$/.test(token)))
  t.equal(new Set(tokens).size, 1000)
})

t.test('a probe key has the form of a key, and is another each time', async t => {
  t.match(makeProbeKey(), /^[A-Za-z0-9_-]{43}$/)
  t.not(makeProbeKey(), makeProbeKey())
})
