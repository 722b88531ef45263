import t from 'tap'
import { createFormats, decodeValue, encodeValue } from '../../lib/codec.js'
import { jsonFormat } from '../../lib/json.js'
import { nativeFormat } from '../../lib/native.js'

const reversed = {
  name: 'reversed',
  encode: (value: unknown) => JSON.stringify(value).split('').reverse().join(''),
  decode: (stored: string | Uint8Array): unknown => JSON.parse(String(stored).split('').reverse().join(''))
}

/** Bytes as they are. */
const raw = {
  name: 'raw',
  encode: (value: unknown) => value as Uint8Array,
  decode: (stored: string | Uint8Array): unknown => stored
}

t.test('new records are written in the format that was chosen', async t => {
  t.equal(createFormats('json').preferred, jsonFormat)
  t.equal(createFormats('native').preferred, nativeFormat)
  t.equal(createFormats(reversed).preferred.name, 'reversed')
})

t.test('a record is read in the format it names, whatever was chosen', async t => {
  for (const choice of ['json', 'native', reversed] as const) {
    const formats = createFormats(choice)
    t.equal(formats.named(undefined), jsonFormat)
    t.equal(formats.named('native'), nativeFormat)
  }
  const formats = createFormats(reversed)
  t.equal(formats.named('reversed'), formats.preferred)
})

t.test('a format that is not configured is a typed error that does not repeat what is stored', async t => {
  const unknown = createFormats('json').named('reversed')
  t.equal(unknown.name, 'reversed', 'a save would keep it')
  t.throws(() => encodeValue(unknown, 'k', 1), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
  const error = t.throws(() => decodeValue(unknown, { S: '1' })) as Error
  t.match(error, {
    code: 'FST_DYNAMODB_SESSION_UNREADABLE',
    message: 'The stored session cannot be read: it has a format that is not configured here. Configure the "format" and the "encryptionKeys" it was written with, or destroy the session.'
  })
})

t.test('a codec stores text and bytes, and gets them back', async t => {
  const { preferred } = createFormats(reversed)
  t.same(encodeValue(preferred, 'k', [12]), { S: ']21[' })
  t.same(decodeValue(preferred, { S: ']21[' }), [12])
  const bytes = createFormats(raw).preferred
  t.same(encodeValue(bytes, 'k', new Uint8Array([1, 2])), { B: new Uint8Array([1, 2]) })
  t.same(decodeValue(bytes, { B: new Uint8Array([1, 2]) }), new Uint8Array([1, 2]))
  t.same(decodeValue(bytes, { S: '' }), '')
})

t.test('a codec shares no bytes with what is stored, so that a change in place is seen', async t => {
  const { preferred } = createFormats(raw)
  const given = new Uint8Array([1])
  const stored = encodeValue(preferred, 'k', given)
  given[0] = 2
  t.same(stored, { B: new Uint8Array([1]) })
  const got = decodeValue(preferred, stored) as Uint8Array
  got[0] = 3
  t.same(stored, { B: new Uint8Array([1]) })
})

t.test('a codec that encodes to anything else is refused', async t => {
  for (const result of [undefined, 1, { S: 'x' }, new Uint16Array(1)]) {
    const { preferred } = createFormats({ ...reversed, encode: () => result as unknown as string })
    t.throws(() => encodeValue(preferred, 'k', 'x'), {
      code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE',
      message: 'The value of session key "k" cannot be stored: the codec must encode to text or bytes.'
    })
  }
})

t.test('a codec that encodes to text with half a surrogate pair is refused, for it would come back as other text', async t => {
  const { preferred } = createFormats({ ...reversed, encode: String })
  for (const text of ['\ud800', 'a\udc00']) {
    t.throws(() => encodeValue(preferred, 'k', text), {
      code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE',
      message: 'The value of session key "k" cannot be stored: the codec must not encode to text with half a surrogate pair.'
    })
  }
})

t.test('what is stored as neither text nor bytes is not given to a codec', async t => {
  const { preferred } = createFormats({ ...reversed, decode: () => t.fail('not to be called') })
  t.throws(() => decodeValue(preferred, { N: '1' }), { code: 'FST_DYNAMODB_SESSION_UNREADABLE', cause: { message: 'TypeError' } })
})

t.test('a value that cannot be encoded is named by its key, with reason and cause', async t => {
  const error = t.throws(() => encodeValue(jsonFormat, 'cart', [1n])) as Error
  t.match(error, {
    code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE',
    message: 'The value of session key "cart" cannot be stored: it holds a bigint; store a text, or use format "native".',
    cause: { name: 'TypeError' }
  })
})

t.test('a codec that fills the stack is told as depth, and no other RangeError is', async t => {
  const walk = (value: unknown): string => `${walk(value)}.`
  const deep = createFormats({ ...reversed, encode: walk }).preferred
  t.throws(() => encodeValue(deep, 'tree', {}), { message: 'The value of session key "tree" cannot be stored: it is nested too deeply.' })
  const picky = createFormats({ ...reversed, encode: () => { throw new RangeError('1969 is too early') } }).preferred
  t.throws(() => encodeValue(picky, 'born', 1969), {
    message: 'The value of session key "born" cannot be stored: its format refused it, and the cause says why.',
    cause: { message: '1969 is too early' }
  }, 'somebody else\'s text may hold the value, so it is the cause only')
})

t.test('a value that cannot be decoded is a typed error without any of its text', async t => {
  const error = t.throws(() => decodeValue(jsonFormat, { S: 'secret{' })) as Error
  t.match(error, { code: 'FST_DYNAMODB_SESSION_UNREADABLE', cause: { message: 'SyntaxError' } })
  t.notMatch(`${error.message} ${error.stack} ${(error.cause as Error).stack}`, 'secret')
  const thrown: unknown = 'secret'
  const rude = createFormats({ ...reversed, decode: () => { throw thrown } }).preferred
  t.throws(() => decodeValue(rude, { S: 'x' }), { code: 'FST_DYNAMODB_SESSION_UNREADABLE', cause: { message: 'unknown' } })
})
