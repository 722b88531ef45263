import { createFormats, type Format } from '../../lib/codec.js'
import { createEnvelope, type Envelope } from '../../lib/envelope.js'
import { Form } from '../../lib/form.js'
import type { SessionSettings } from '../../lib/session.js'
import { Tokens } from '../../lib/token.js'

/** The envelope of applications that neither seal nor compress: values stand in the table as their format made them. */
export const PLAIN: Envelope = createEnvelope({ sealer: undefined, compress: false, acceptPlainUntil: 0, now: Date.now })

/** A format as the form of some record. */
export function formOf (format: Format): Form {
  return new Form(format, PLAIN, 'some record')
}

/** What sessions share by default, as far as it decides. */
export const SETTINGS: SessionSettings = {
  idleTimeout: 7200,
  absoluteTimeout: 43_200,
  reissueTime: 720,
  conflict: 'merge',
  userIndex: false,
  formats: createFormats('json'),
  envelope: PLAIN,
  tokens: new Tokens(32, undefined)
}
