import t from 'tap'
import { createDecipheriv, createHmac } from 'node:crypto'
import { KEY_BYTES, SEAL_BYTES, SealError, Sealer } from '../../lib/seal.js'

const key = (seed: number): Uint8Array => Uint8Array.from({ length: KEY_BYTES }, (_, index) => (index * 7 + seed) % 256)
const [NEW, OLD, OTHER] = [key(1), key(2), key(3)]
const HEADER = Buffer.from('header')
const PLACE = { key: 'the key of a record', name: 'cart' }
const TEXT = 'a value that nobody else may read'
const CONTENT = Buffer.from(TEXT)

const sealer = new Sealer([NEW], 'shop#')
const refusal = (message: string) => ({ constructor: SealError, message })
const CHANGED = refusal('was changed, or moved from another place, after it was sealed')
const UNKNOWN_KEY = refusal('was sealed with a key that is not among the "encryptionKeys"')
const TOO_SHORT = refusal('is too short to be sealed')

/** What is thrown, with its class, so that another failure does not pass for the typed one. */
function failureOf (open: () => unknown): { constructor: unknown, message: string } | undefined {
  try {
    open()
    return undefined
  } catch (error) {
    return { constructor: (error as Error).constructor, message: (error as Error).message }
  }
}

t.test('what was sealed opens in its place, and takes 32 bytes more', async t => {
  for (const content of [Buffer.alloc(0), Buffer.from([0]), CONTENT, Buffer.alloc(300_000, 7)]) {
    const sealed = sealer.seal(content, HEADER, PLACE)
    t.equal(sealed.length, content.length + 32)
    t.strictSame(sealer.open(sealed, HEADER, PLACE), content)
  }
  t.equal(SEAL_BYTES, 32)
})

t.test('it is AES-256-GCM under a key of the record, as the documents say, so that others can open it', async t => {
  const sealed = sealer.seal(CONTENT, HEADER, PLACE)
  const mac = (...purpose: string[]) => createHmac('sha256', NEW).update(JSON.stringify(['fastify-dynamodb-session', ...purpose])).digest()
  t.strictSame(sealed.subarray(0, 4), mac('name').subarray(0, 4))
  const decipher = createDecipheriv('aes-256-gcm', mac('seal', 'shop#', PLACE.key), sealed.subarray(4, 16))
  decipher.setAAD(Buffer.concat([HEADER, Buffer.from(JSON.stringify(['shop#', PLACE.key, PLACE.name, 'json']))]))
  decipher.setAuthTag(sealed.subarray(-16))
  t.equal(decipher.update(sealed.subarray(16, -16), undefined, 'utf8') + decipher.final('utf8'), TEXT)
})

t.test('nothing of the value, the key or the place can be read in it', async t => {
  const sealed = sealer.seal(CONTENT, HEADER, PLACE)
  for (const text of [TEXT, TEXT.slice(0, 6), PLACE.key, PLACE.name, 'shop#']) t.equal(sealed.indexOf(text), -1, text)
  for (let start = 0; start + 4 <= KEY_BYTES; start++) t.equal(sealed.indexOf(NEW.subarray(start, start + 4)), -1)
})

t.test('two seals of one value have nothing in common but the name of the key', async t => {
  const [a, b] = [sealer.seal(CONTENT, HEADER, PLACE), sealer.seal(CONTENT, HEADER, PLACE)]
  t.strictSame(a.subarray(0, 4), b.subarray(0, 4))
  t.notSame(a.subarray(4, 16), b.subarray(4, 16), 'nonce')
  t.notSame(a.subarray(16, -16), b.subarray(16, -16), 'content')
  t.notSame(a.subarray(-16), b.subarray(-16), 'tag')
})

t.test('no nonce repeats in 100,000 seals', async t => {
  const nonces = new Set<string>()
  for (let count = 0; count < 100_000; count++) nonces.add(sealer.seal(CONTENT, HEADER, PLACE).toString('latin1', 4, 16))
  t.equal(nonces.size, 100_000)
})

t.test('a value opens in no other record, under no other session key, in no other application, and with no other header', async t => {
  const sealed = sealer.seal(CONTENT, HEADER, PLACE)
  const elsewhere = [
    { key: 'the key of another', name: 'cart' }, { key: PLACE.key, name: 'userId' }, { key: PLACE.key, name: '' }, { key: '', name: 'cart' },
    { key: PLACE.name, name: PLACE.key },
    // The same letters, divided in another way.
    { key: `${PLACE.key}c`, name: 'art' }, { key: `${PLACE.key}","cart`, name: '' }
  ]
  for (const place of elsewhere) t.strictSame(failureOf(() => sealer.open(sealed, HEADER, place)), CHANGED, JSON.stringify(place))
  for (const context of ['', 'shop', 'shop##', 'admin#']) {
    t.strictSame(failureOf(() => new Sealer([NEW], context).open(sealed, HEADER, PLACE)), CHANGED, `prefix ${context}`)
  }
  t.strictSame(failureOf(() => new Sealer([NEW], 'shop').open(sealed, HEADER, { ...PLACE, key: `#${PLACE.key}` })), CHANGED)
  for (const header of [Buffer.alloc(0), Buffer.from('header2'), Buffer.from('Header'), Buffer.from('heade')]) {
    t.strictSame(failureOf(() => sealer.open(sealed, header, PLACE)), CHANGED, `header ${String(header)}`)
  }
})

t.test('every flipped bit is found, wherever it is', async t => {
  const sealed = sealer.seal(CONTENT, HEADER, PLACE)
  const found = { name: 0, rest: 0 }
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = flip(sealed, bit)
    const failure = failureOf(() => sealer.open(changed, HEADER, PLACE))
    const isName = bit < 32
    t.strictSame(failure, isName ? UNKNOWN_KEY : CHANGED)
    found[isName ? 'name' : 'rest'] += 1
  }
  t.same(found, { name: 32, rest: (sealed.length - 4) * 8 })
  for (let bit = 0; bit < HEADER.length * 8; bit++) t.strictSame(failureOf(() => sealer.open(sealed, flip(HEADER, bit), PLACE)), CHANGED)
})

t.test('a value that was cut or grew does not open, at whatever length', async t => {
  const sealed = sealer.seal(CONTENT, HEADER, PLACE)
  for (let length = 0; length < sealed.length; length++) {
    t.strictSame(failureOf(() => sealer.open(sealed.subarray(0, length), HEADER, PLACE)), length < 32 ? TOO_SHORT : CHANGED, `the first ${length}`)
    const isShort = sealed.length - length < 32
    if (length > 3) t.strictSame(failureOf(() => sealer.open(sealed.subarray(length), HEADER, PLACE)), isShort ? TOO_SHORT : UNKNOWN_KEY, `without the first ${length}`)
  }
  t.strictSame(failureOf(() => sealer.open(Buffer.concat([sealed, Buffer.from([0])]), HEADER, PLACE)), CHANGED)
})

t.test('parts of two values do not make a third', async t => {
  const [a, b] = [sealer.seal(CONTENT, HEADER, PLACE), sealer.seal(CONTENT, HEADER, PLACE)]
  for (const cut of [16, a.length - 16]) t.strictSame(failureOf(() => sealer.open(Buffer.concat([a.subarray(0, cut), b.subarray(cut)]), HEADER, PLACE)), CHANGED)
})

t.test('the newest key seals, every key opens, and one that is gone is told of', async t => {
  const before = new Sealer([OLD], '').seal(CONTENT, HEADER, PLACE)
  const rotated = new Sealer([NEW, OTHER, OLD], '')
  t.strictSame(rotated.open(before, HEADER, PLACE), CONTENT)
  const after = rotated.seal(CONTENT, HEADER, PLACE)
  t.strictSame(new Sealer([NEW], '').open(after, HEADER, PLACE), CONTENT)
  for (const keys of [[OLD], [OTHER, OLD]] as const) t.strictSame(failureOf(() => new Sealer(keys, '').open(after, HEADER, PLACE)), UNKNOWN_KEY)
  t.strictSame(failureOf(() => new Sealer([NEW], '').open(before, HEADER, PLACE)), UNKNOWN_KEY)
})

t.test('the name of a key does not make another key of it', async t => {
  const sealed = sealer.seal(CONTENT, HEADER, PLACE)
  const renamed = Buffer.concat([new Sealer([OLD], 'shop#').seal(CONTENT, HEADER, PLACE).subarray(0, 4), sealed.subarray(4)])
  t.strictSame(failureOf(() => new Sealer([NEW, OLD], 'shop#').open(renamed, HEADER, PLACE)), CHANGED)
})

t.test('keys are copied: what becomes of the caller\'s bytes changes nothing', async t => {
  const [mine, older] = [Uint8Array.from(NEW), Uint8Array.from(OLD)]
  const kept = new Sealer([mine, older], '')
  const before = kept.seal(CONTENT, HEADER, PLACE)
  mine.fill(0)
  older.fill(0)
  t.strictSame(kept.open(before, HEADER, PLACE), CONTENT)
  t.strictSame(new Sealer([NEW], '').open(kept.seal(CONTENT, HEADER, PLACE), HEADER, PLACE), CONTENT)
  t.strictSame(kept.open(new Sealer([OLD], '').seal(CONTENT, HEADER, PLACE), HEADER, PLACE), CONTENT)
})

t.test('no key lies in memory that other buffers share, with which it might be sent away', async t => {
  const mine = key(99)
  const kept = new Sealer([mine], '')
  const { buffer } = Buffer.from('a small one')
  t.ok(buffer.byteLength > KEY_BYTES, 'it is a part of what is shared')
  t.equal(Buffer.from(buffer).indexOf(mine), -1)
  t.strictSame(kept.open(kept.seal(CONTENT, HEADER, PLACE), HEADER, PLACE), CONTENT)
})

t.test('what is handed in is not changed', async t => {
  const [content, header] = [Buffer.from(CONTENT), Buffer.from(HEADER)]
  const sealed = sealer.seal(content, header, PLACE)
  const before = Buffer.from(sealed)
  sealer.open(sealed, header, PLACE)
  t.strictSame([content, header, sealed], [CONTENT, HEADER, before])
})

function flip (bytes: Buffer, bit: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[bit >> 3] = Number(changed[bit >> 3]) ^ (1 << (bit & 7))
  return changed
}
