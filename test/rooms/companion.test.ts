import t from 'tap'
import { COMPANION_LIFE, LONGEST_COMPANION, NO_TRACES, readCompanions, writeCompanion } from '../../lib/companion.js'
import { hash, Tokens } from '../../lib/token.js'

const SECRET = 'a secret that is long enough to sign with'
const OLD_SECRET = 'the secret of last year, long enough to sign'
const NOW = 1_767_323_045
const tokens = new Tokens(32, [SECRET])
const KEY = hash('an id')
const OTHER = hash('another id')

t.test('without an activity a companion names its session and the version', async t => {
  t.equal(writeCompanion(tokens, KEY, 7, undefined), `${KEY.slice(0, 8)}.7`)
  t.same(readCompanions(tokens, [`${KEY.slice(0, 8)}.7`], KEY, NOW), { version: 7, activeAt: undefined, isOutdated: false })
})

t.test('with an activity it tells that too, signed', async t => {
  const text = writeCompanion(tokens, KEY, 7, NOW)
  t.match(text, new RegExp(`^${KEY.slice(0, 8)}\\.7\\.${NOW}\\.[A-Za-z0-9+/]{43}$`))
  t.same(readCompanions(tokens, [text], KEY, NOW), { version: 7, activeAt: NOW, isOutdated: false })
  t.equal(writeCompanion(tokens, KEY, 999_999_999_999_999, 999_999_999_999).length, LONGEST_COMPANION)
})

t.test('the version counts for as long as reads may lag, the activity for ever', async t => {
  const text = writeCompanion(tokens, KEY, 7, NOW)
  t.equal(readCompanions(tokens, [text], KEY, NOW + COMPANION_LIFE).version, 7)
  t.same(readCompanions(tokens, [text], KEY, NOW + COMPANION_LIFE + 1), { version: undefined, activeAt: NOW, isOutdated: false })
  t.equal(readCompanions(tokens, [text], KEY, NOW - 5).version, 7, 'also by a clock that is behind')
})

t.test('an activity that was changed, or signed for another session, by another secret or without any, is none', async t => {
  const text = writeCompanion(tokens, KEY, 7, NOW)
  const [name = '', version = '', , signature = ''] = text.split('.')
  const bad: Record<string, string> = {
    'a later activity': [name, version, NOW + 1000, signature].join('.'),
    'another version': [name, 8, NOW, signature].join('.'),
    'another signature': [name, version, NOW, `${signature.slice(0, -1)}${signature.endsWith('A') ? 'B' : 'A'}`].join('.'),
    'the beginning of another session with the same name': writeCompanion(tokens, KEY.slice(0, 8) + OTHER.slice(8), 7, NOW),
    'another secret': writeCompanion(new Tokens(32, [OLD_SECRET]), KEY, 7, NOW),
    'the signature of a token': [name, version, NOW, tokens.sign(KEY).slice(44)].join('.')
  }
  for (const [kind, companion] of Object.entries(bad)) t.equal(readCompanions(tokens, [companion], KEY, NOW).activeAt, undefined, kind)
  t.equal(readCompanions(new Tokens(32, undefined), [text], KEY, NOW).activeAt, undefined, 'without secrets')
  t.equal(new Tokens(32, undefined).signatureOf('text'), '')
})

t.test('the signature of a companion makes no token, whatever is cut out of it', async t => {
  const text = `${tokens.makeId()}`
  const companion = writeCompanion(tokens, text, 1, 1)
  t.equal(tokens.check(`${text}.${companion.split('.')[3]}`), null)
})

t.test('another session\'s companion says only that something was written, where that was a moment ago', async t => {
  const other = writeCompanion(tokens, OTHER, 9, NOW)
  t.same(readCompanions(tokens, [other], KEY, NOW), { version: 0, activeAt: undefined, isOutdated: false })
  t.same(readCompanions(tokens, [other], KEY, NOW + 11), NO_TRACES)
  t.same(readCompanions(tokens, [`${OTHER.slice(0, 8)}.9`], KEY, NOW), { version: 0, activeAt: undefined, isOutdated: false })
})

t.test('of several the latest activity that is well signed counts, and the latest version', async t => {
  const [early, late] = [writeCompanion(tokens, KEY, 9, NOW - 5), writeCompanion(tokens, KEY, 8, NOW - 1)]
  const forged = [KEY.slice(0, 8), 10, NOW, late.split('.')[3]].join('.')
  for (const texts of [[early, late, forged], [forged, late, early]]) {
    t.same(readCompanions(tokens, texts, KEY, NOW), { version: 10, activeAt: NOW - 1, isOutdated: false })
  }
})

t.test('an old secret still opens, and that is told', async t => {
  const text = writeCompanion(new Tokens(32, [OLD_SECRET]), KEY, 7, NOW)
  t.same(readCompanions(new Tokens(32, [SECRET, OLD_SECRET]), [text], KEY, NOW), { version: 7, activeAt: NOW, isOutdated: true })
})

t.test('what is no companion says nothing', async t => {
  const name = KEY.slice(0, 8)
  const signature = 'A'.repeat(43)
  for (const text of ['', name, `${name}.`, `${name}.0`, `${name}.1.`, `${name}.1.${NOW}`, `${name}.1.${NOW}.`, `${name}.1.${NOW}.${signature}A`,
    `${name}.1.0.${signature}`, `${name}.1.-1.${signature}`, `${name}.1.1e3.${signature}`, ` ${name}.1`, `${name}.1\n`, `${name.slice(1)}.1`]) {
    t.same(readCompanions(tokens, [text], KEY, NOW), NO_TRACES, JSON.stringify(text))
  }
})
