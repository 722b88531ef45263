import type { Format } from './codec.js'
import { classOf, isPlainObject, refuse } from './plain.js'

/** Far beyond what anybody means, and well within what comparing two values can take before the stack is full. */
const MAX_DEPTH = 500

/** JSON text: the fastest format. What JSON would change in silence is refused. */
export const jsonFormat: Format = {
  name: undefined,
  encode (value) {
    assertJson(value, new Set())
    return { S: JSON.stringify(value) }
  },
  decode (stored) {
    if (stored.S === undefined) throw new TypeError('not text')
    return JSON.parse(stored.S) as unknown
  }
}

function assertJson (value: unknown, ancestors: Set<object>): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return
    case 'number':
      if (!Number.isFinite(value)) refuse('a number that is not finite', 'store null or a text')
      return
    case 'object':
      if (value !== null) assertJsonObject(value, ancestors)
      return
    case 'undefined':
      return refuse('undefined in an array', 'store null')
    default:
      refuse(`a ${typeof value}`, typeof value === 'bigint' ? 'store a text, or use format "native"' : 'store plain data')
  }
}

function assertJsonObject (value: object, ancestors: Set<object>): void {
  if (ancestors.has(value)) refuse('a reference to itself', 'store its parts')
  if (ancestors.size === MAX_DEPTH) refuse(`more than ${MAX_DEPTH} levels`, 'store it flatter')
  ancestors.add(value)
  if (Array.isArray(value)) {
    // By index, because a hole would become null.
    for (let index = 0; index < value.length; index++) assertJson(value[index], ancestors)
  } else if (isPlainObject(value)) {
    if (typeof value['toJSON'] === 'function') refuse('a function', 'store plain data')
    if (Object.getOwnPropertySymbols(value).length > 0) refuse('a member with a symbol for its name', 'give it a text')
    for (const member of Object.values(value)) if (member !== undefined) assertJson(member, ancestors)
  } else {
    refuse(`an instance of ${classOf(value)}`, 'store plain data, or use another format')
  }
  ancestors.delete(value)
}
