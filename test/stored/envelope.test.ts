import t from 'tap'
import { randomBytes } from 'node:crypto'
import { constants, deflateRawSync, gzipSync } from 'node:zlib'
import { createEnvelope, type EnvelopeSettings } from '../../lib/envelope.js'
import { jsonFormat } from '../../lib/json.js'
import { nativeFormat } from '../../lib/native.js'
import { Sealer } from '../../lib/seal.js'
import type { StoredValue } from '../../types/repository.js'

const UNREADABLE = 'FST_DYNAMODB_SESSION_UNREADABLE'
const MAGIC = [0xfd, 0x53, 0x56, 0x01]
const [TEXT, BYTES, ATTRIBUTE, COMPRESSED, SEALED] = [0, 1, 2, 4, 8]
const HEADER_BYTES = 5
const LARGEST_CONTENT = 4 * 1024 * 1024

const [KEY, OLD_KEY] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
const PLACE = { key: 'the key of a record', name: 'cart' }
const SECRET = 'a value that nobody else may read'

const open = (settings: Partial<EnvelopeSettings> = {}) =>
  createEnvelope({ sealer: undefined, compress: false, acceptPlainUntil: 0, now: Date.now, ...settings })
const sealer = new Sealer([KEY], '')
const plain = open()
const sealing = open({ sealer })
const compressing = open({ compress: true })
const both = open({ sealer, compress: true })

/** An envelope built by hand. */
const byHand = (marks: number, content: Uint8Array | string): StoredValue => ({ B: Buffer.concat([Buffer.from([...MAGIC, marks]), Buffer.from(content)]) })

function bytesOf (stored: StoredValue): Buffer {
  if (stored.B === undefined) throw new Error('The value is not stored as bytes.')
  return Buffer.from(stored.B)
}

const marksOf = (stored: StoredValue): number => Number(bytesOf(stored)[4])

/** Text of which deflate saves nothing worth it. */
function noise (length: number): string {
  let state = 1
  return Array.from({ length }, () => String.fromCharCode(33 + (state = state * 48_271 % 2_147_483_647) % 94)).join('')
}

/** One value of each kind that a format makes. */
const VALUES: readonly StoredValue[] = [
  { S: '{"a":1}' }, { S: '' }, { S: 'é🛒' }, { B: new Uint8Array() }, { B: new Uint8Array([0, 255]) }, { N: '1.50' }, { BOOL: true }, { NULL: true },
  { SS: ['a', 'b'] }, { NS: ['1'] }, { BS: [new Uint8Array([1]), new Uint8Array([2])] }, { L: [{ B: new Uint8Array([3]) }] }, { M: { x: { M: {} } } },
  { S: 'x'.repeat(5000) }, { B: new Uint8Array(5000) }, { L: Array.from({ length: 1000 }, () => ({ N: '1' })) }
]

t.test('where nothing is asked for, a value is stored as it is, and so it is read', async t => {
  for (const value of VALUES) {
    t.equal(plain.wrap(value, PLACE), value)
    t.equal(plain.unwrap(value, PLACE), value)
  }
})

t.test('every kind of value comes back from every envelope', async t => {
  for (const [name, envelope] of Object.entries({ sealing, compressing, both })) {
    for (const value of VALUES) t.strictSame(envelope.unwrap(envelope.wrap(value, PLACE), PLACE), value, name)
  }
})

t.test('a sealed value takes 37 bytes more than its text or its bytes', async t => {
  for (const [value, size] of [[{ S: '' }, 0], [{ S: SECRET }, SECRET.length], [{ S: 'é🛒' }, 6], [{ B: new Uint8Array(100) }, 100], [{ N: '1' }, '{"N":"1"}'.length]] as const) {
    t.equal(bytesOf(sealing.wrap(value, PLACE)).length, size + 37)
  }
})

t.test('the marks say what is in it, and nothing else does', async t => {
  t.same([{ S: SECRET }, { B: new Uint8Array([1]) }, { N: '1' }].map(value => marksOf(sealing.wrap(value, PLACE))), [SEALED | TEXT, SEALED | BYTES, SEALED | ATTRIBUTE])
  t.same([{ S: 'x'.repeat(5000) }, { B: new Uint8Array(5000) }].map(value => marksOf(compressing.wrap(value, PLACE))), [COMPRESSED | TEXT, COMPRESSED | BYTES])
  t.equal(marksOf(both.wrap({ S: 'x'.repeat(5000) }, PLACE)), SEALED | COMPRESSED | TEXT)
  t.strictSame([...bytesOf(sealing.wrap({ S: SECRET }, PLACE)).subarray(0, 4)], MAGIC)
})

t.test('nothing of a sealed value stands in it, compressed or not', async t => {
  for (const envelope of [sealing, both]) {
    for (const value of [{ S: SECRET }, { S: SECRET.repeat(100) }, { B: Buffer.from(SECRET) }, { M: { [SECRET]: { S: SECRET } } }]) {
      const bytes = bytesOf(envelope.wrap(value, PLACE))
      for (const text of [SECRET, SECRET.slice(2, 10), PLACE.key, PLACE.name]) t.equal(bytes.indexOf(text), -1)
    }
  }
})

t.test('two envelopes of one value differ', async t => {
  t.notSame(bytesOf(sealing.wrap({ S: SECRET }, PLACE)), bytesOf(sealing.wrap({ S: SECRET }, PLACE)))
})

t.test('every flipped bit of every part is found, and nothing is ever read in another way', async t => {
  const flips = [sealing.wrap({ S: SECRET }, PLACE), both.wrap({ S: SECRET.repeat(60) }, PLACE), sealing.wrap({ M: { a: { B: new Uint8Array([1]) } } }, PLACE)]
    .flatMap(stored => Array.from({ length: bytesOf(stored).length * 8 }, (_, bit) => [bytesOf(stored), bit] as const))
  const reasons: Record<string, number> = {}
  for (const [bytes, bit] of flips) {
    bytes[bit >> 3] = Number(bytes[bit >> 3]) ^ (1 << (bit & 7))
    for (const envelope of [sealing, both]) {
      const reason = reasonOf(() => envelope.unwrap({ B: bytes }, PLACE))
      reasons[reason] = (reasons[reason] ?? 0) + 1
    }
  }
  const read = 2 * 3
  t.same(reasons, {
    'is not sealed, although "encryptionKeys" are set': read * (24 + 1),
    'is in an envelope of another version': read * 8,
    'was sealed with a key that is not among the "encryptionKeys"': read * 32,
    'was changed, or moved from another place, after it was sealed': 2 * flips.length - read * 65
  }, 'magic and the mark of sealing, the name of the key, and all the rest')
})

t.test('without keys a changed value is refused too, or it has become no envelope, which no format takes for JSON', async t => {
  const stored = sealing.wrap({ S: SECRET }, PLACE)
  for (let bit = 0; bit < bytesOf(stored).length * 8; bit++) {
    const bytes = bytesOf(stored)
    bytes[bit >> 3] = Number(bytes[bit >> 3]) ^ (1 << (bit & 7))
    t.throws(() => jsonFormat.decode(plain.unwrap({ B: bytes }, PLACE)))
  }
})

t.test('a value that was cut or grew is refused at whatever length', async t => {
  for (const [envelope, value] of [[sealing, { S: SECRET }], [both, { S: SECRET.repeat(60) }]] as const) {
    const whole = bytesOf(envelope.wrap(value, PLACE))
    for (let length = 0; length < whole.length; length++) {
      t.throws(() => envelope.unwrap({ B: whole.subarray(0, length) }, PLACE), { code: UNREADABLE }, `the first ${length}`)
    }
    t.throws(() => envelope.unwrap({ B: Buffer.concat([whole, Buffer.from([0])]) }, PLACE), { code: UNREADABLE })
  }
})

t.test('values that changed places are refused: of two records, and of two keys of one', async t => {
  const places = [PLACE, { ...PLACE, key: 'the key of another' }, { ...PLACE, name: 'userId' }]
  const values = places.map(place => sealing.wrap({ S: SECRET }, place))
  for (const [from, value] of values.entries()) {
    for (const [to, place] of places.entries()) {
      if (from === to) t.strictSame(sealing.unwrap(value, place), { S: SECRET })
      else t.equal(reasonOf(() => sealing.unwrap(value, place)), 'was changed, or moved from another place, after it was sealed')
    }
  }
})

t.test('after a change of keys every value opens, and is sealed with the newest when it is written', async t => {
  const before = open({ sealer: new Sealer([OLD_KEY], '') })
  const during = open({ sealer: new Sealer([KEY, OLD_KEY], '') })
  const stored = before.wrap({ S: SECRET }, PLACE)
  t.strictSame(during.unwrap(stored, PLACE), { S: SECRET })
  t.strictSame(sealing.unwrap(during.wrap({ S: SECRET }, PLACE), PLACE), { S: SECRET })
  t.equal(reasonOf(() => sealing.unwrap(stored, PLACE)), 'was sealed with a key that is not among the "encryptionKeys"')
})

t.test('a value that is not sealed is refused where keys are set, of whatever kind, also an envelope that only says that it is compressed', async t => {
  const compressed = compressing.wrap({ S: 'x'.repeat(5000) }, PLACE)
  for (const value of [...VALUES, compressed, byHand(TEXT, '"admin"'), byHand(BYTES, '')]) {
    for (const envelope of [sealing, both]) t.equal(reasonOf(() => envelope.unwrap(value, PLACE)), 'is not sealed, although "encryptionKeys" are set')
  }
})

t.test('until a date values that are not sealed are taken, to the millisecond of the clock that was handed in', async t => {
  let ms = 1_799_999_999_999
  const envelope = open({ sealer, acceptPlainUntil: 1_800_000_000_000, now: () => ms })
  const compressed = compressing.wrap({ S: 'x'.repeat(5000) }, PLACE)
  for (const value of VALUES) t.equal(envelope.unwrap(value, PLACE), value)
  t.strictSame(envelope.unwrap(compressed, PLACE), { S: 'x'.repeat(5000) })
  t.equal(marksOf(envelope.wrap({ S: '1' }, PLACE)), SEALED | TEXT, 'what is written is sealed already')
  const stored = envelope.wrap({ S: SECRET }, PLACE)
  t.throws(() => envelope.unwrap(stored, { ...PLACE, name: 'other' }), { code: UNREADABLE }, 'a sealed value opens in its place only')
  ms += 1
  for (const value of [...VALUES, compressed]) t.throws(() => envelope.unwrap(value, PLACE), { code: UNREADABLE })
  t.strictSame(envelope.unwrap(stored, PLACE), { S: SECRET })
})

t.test('where the clock tells no time, nothing that is not sealed is taken', async t => {
  const envelope = open({ sealer, acceptPlainUntil: Number.MAX_SAFE_INTEGER, now: () => NaN })
  t.equal(reasonOf(() => envelope.unwrap({ S: '1' }, PLACE)), 'is not sealed, although "encryptionKeys" are set')
})

t.test('a sealed value is refused without keys, and never given to a format as bytes', async t => {
  for (const envelope of [plain, compressing]) {
    for (const value of VALUES) t.equal(reasonOf(() => envelope.unwrap(both.wrap(value, PLACE), PLACE)), 'is sealed, and there are no "encryptionKeys"')
  }
})

t.test('a value is compressed where that saves a KB, and not for a byte less', async t => {
  const savedBy = (text: string) => Buffer.byteLength(text) - deflateRawSync(text).length
  const ofSaving = (saving: number) => {
    for (let spaces = saving; ; spaces++) if (savedBy(noise(200) + ' '.repeat(spaces)) === saving) return noise(200) + ' '.repeat(spaces)
  }
  const [least, tooLittle] = [ofSaving(1024), ofSaving(1023)]
  const stored = compressing.wrap({ S: least }, PLACE)
  t.equal(marksOf(stored), COMPRESSED | TEXT)
  t.equal(bytesOf(stored).length, least.length - 1024 + HEADER_BYTES)
  t.strictSame(compressing.wrap({ S: tooLittle }, PLACE), { S: tooLittle })
  t.equal(marksOf(both.wrap({ S: tooLittle }, PLACE)), SEALED | TEXT)
  t.strictSame([compressing.unwrap(stored, PLACE), both.unwrap(both.wrap({ S: tooLittle }, PLACE), PLACE)], [{ S: least }, { S: tooLittle }])
})

t.test('what does not get smaller stays as it is', async t => {
  for (const value of [{ B: randomBytes(20_000) }, { S: 'x'.repeat(1024) }, { L: [{ S: 'x' }] }]) t.equal(compressing.wrap(value, PLACE), value)
})

t.test('compressed values are read where compression is off, and bytes of the application stay its bytes', async t => {
  for (const value of VALUES.slice(-3)) t.strictSame(plain.unwrap(compressing.wrap(value, PLACE), PLACE), value)
  for (const value of VALUES) t.strictSame(sealing.unwrap(both.wrap(value, PLACE), PLACE), value)
})

t.test('bytes of the application that look like an envelope come back as they were', async t => {
  const lookalikes = [{ B: Buffer.from([0xfd, 0x53, 0x56, 0x02, 0x08]) }, byHand(TEXT, '"x"'), byHand(SEALED, ''), byHand(COMPRESSED, 'x'), byHand(255, 'x'), sealing.wrap({ S: SECRET }, PLACE)]
  for (const envelope of [plain, compressing, sealing, both]) {
    for (const { B = new Uint8Array() } of lookalikes) {
      const value = { B: new Uint8Array(B) }
      t.strictSame(envelope.unwrap(envelope.wrap(value, PLACE), PLACE), value)
    }
  }
  for (const almost of [MAGIC, [0xfd, 0x53, 0x57, 0x01, 0], [0xfd]]) {
    const value = { B: new Uint8Array(almost) }
    t.equal(plain.wrap(value, PLACE), value)
    t.equal(plain.unwrap(value, PLACE), value)
  }
})

t.test('an envelope of another version is refused, with keys and without, and never given to a format as bytes', async t => {
  for (const version of [0, 2, 255]) {
    for (const marks of [TEXT, BYTES, SEALED | TEXT, 255]) {
      const stored = { B: Buffer.from([0xfd, 0x53, 0x56, version, marks, 1, 2, 3]) }
      for (const envelope of [plain, compressing, sealing, both]) t.equal(reasonOf(() => envelope.unwrap(stored, PLACE)), 'is in an envelope of another version')
    }
  }
})

t.test('an item of compressed values expands to 32 times its bytes at most, however much they repeat', async t => {
  const content = 'x'.repeat(1024 * 1024)
  for (const envelope of [compressing, both]) {
    const stored = envelope.wrap({ S: content }, PLACE)
    t.ok(marksOf(stored) & COMPRESSED)
    t.equal(bytesOf(stored).length - (envelope === both ? 32 : 0) - HEADER_BYTES, content.length / 32)
    t.equal(envelope.unwrap(stored, PLACE).S, content)
  }
  const bomb = deflateRawSync(content)
  t.ok(content.length > bomb.length * 32)
  t.equal(reasonOf(() => plain.unwrap(byHand(COMPRESSED | TEXT, bomb), PLACE)), 'is damaged')
  const padded = Buffer.concat([bomb], content.length / 32)
  t.equal(plain.unwrap(byHand(COMPRESSED | TEXT, padded), PLACE).S, content)
  t.equal(reasonOf(() => plain.unwrap(byHand(COMPRESSED | TEXT, padded.subarray(1)), PLACE)), 'is damaged')
})

t.test('a compressed value that would expand without end is refused, and takes no memory', async t => {
  const bomb = deflateRawSync(Buffer.alloc(390 * 1024 * 1024), { level: 9 })
  t.ok(bomb.length < 409_600, `an item could hold it: ${bomb.length} bytes`)
  const value = byHand(COMPRESSED | TEXT, bomb)
  const sealed = byHand(SEALED | COMPRESSED | BYTES, sealer.seal(bomb, Buffer.from([...MAGIC, SEALED | COMPRESSED | BYTES]), PLACE))
  const before = process.resourceUsage().maxRSS
  for (const [envelope, stored] of [[plain, value], [compressing, value], [sealing, sealed]] as const) {
    t.equal(reasonOf(() => envelope.unwrap(stored, PLACE)), 'is damaged')
  }
  t.ok(process.resourceUsage().maxRSS - before < 64 * 1024, 'KB that the process took more')
})

t.test('a value may expand to 4 MB, and not further', async t => {
  const largest = 'x'.repeat(LARGEST_CONTENT)
  const whole = (text: string) => byHand(COMPRESSED | TEXT, Buffer.concat([deflateRawSync(text)], text.length / 16))
  t.equal(compressing.unwrap(whole(largest), PLACE).S, largest)
  t.equal(compressing.unwrap(compressing.wrap({ S: largest }, PLACE), PLACE).S, largest)
  t.equal(reasonOf(() => compressing.unwrap(whole(`${largest}${'x'.repeat(16)}`), PLACE)), 'is damaged')
  const tooLarge = { S: `${largest}x` }
  t.equal(compressing.wrap(tooLarge, PLACE), tooLarge, 'so it is not compressed either: what is written can be read')
})

t.test('an envelope with damaged content or unknown marks is typed, and tells nothing of its content', async t => {
  const canary = 'canary-1b7f'
  const damaged: Array<[string, StoredValue]> = [
    ['no attribute', byHand(ATTRIBUTE, canary)], ['null', byHand(ATTRIBUTE, 'null')], ['cut', byHand(ATTRIBUTE, `{"S":"${canary}`)],
    ['a list of none', byHand(ATTRIBUTE, `{"L":["${canary}"]}`)], ['too deep', byHand(ATTRIBUTE, '{"L":['.repeat(50_000) + ']}'.repeat(50_000))],
    ['no deflate', byHand(COMPRESSED | TEXT, canary)], ['gzip', byHand(COMPRESSED | TEXT, gzipSync(canary))], ['no content', byHand(COMPRESSED | TEXT, '')],
    ['cut deflate', byHand(COMPRESSED | TEXT, deflateRawSync(canary.repeat(99), { level: constants.Z_BEST_SPEED }).subarray(0, 12))],
    ['the fourth kind', byHand(3, canary)], ...[16, 32, 64, 128].map(mark => [`mark ${mark}`, byHand(mark, canary)] as [string, StoredValue])
  ]
  for (const [name, stored] of damaged) {
    const error = failureOf(() => plain.unwrap(stored, PLACE))
    t.match(error, { code: UNREADABLE, message: 'one of its values is damaged', statusCode: 500 }, name)
    t.notMatch(`${error?.message}${error?.stack}${String(error?.cause)}${(error?.cause as Error).stack}`, canary)
  }
  for (const marks of [SEALED | 3, SEALED | 16]) {
    const header = Buffer.from([...MAGIC, marks])
    const stored = byHand(marks, sealer.seal(Buffer.from(canary), header, PLACE))
    t.equal(reasonOf(() => sealing.unwrap(stored, PLACE)), 'is damaged', 'also where it was sealed so, as by a later version')
  }
})

t.test('what is handed in is not changed, and what comes out is not a window on it', async t => {
  const bytes = new Uint8Array([1, 2, 3])
  const stored = sealing.wrap({ B: bytes }, PLACE)
  const before = bytesOf(stored)
  const { B: opened = new Uint8Array() } = sealing.unwrap(stored, PLACE)
  opened.fill(9)
  t.strictSame([bytes, bytesOf(stored)], [new Uint8Array([1, 2, 3]), before])
  t.equal(opened.constructor, Uint8Array)
})

t.test('what the native format stores as maps, sets and big integers comes back sealed or compressed', async t => {
  const value = { tags: new Set(['a', 'b']), keys: new Set([new Uint8Array([1])]), big: 2n ** 90n, bytes: new Uint8Array(3000), list: [null, [true]] }
  for (const envelope of [sealing, compressing, both]) {
    t.strictSame(nativeFormat.decode(envelope.unwrap(envelope.wrap(nativeFormat.encode(value), PLACE), PLACE)), value)
  }
})

function failureOf (act: () => unknown): (Error & { code?: string, statusCode?: number }) | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    return error as Error
  }
}

/** What the typed failure says of the value; any other failure says that it is another, and none that there was none. */
function reasonOf (act: () => unknown): string {
  const failure = failureOf(act)
  if (failure?.code !== UNREADABLE) return `no typed failure: ${String(failure)}`
  return /: one of its values (.*)\. Configure/.exec(failure.message)?.[1] ?? failure.message
}
