import { errors } from './errors.js'
import type { SessionState } from './session.js'

const LONGEST_LABEL = 128

/** Notes that a session is to be on the list of a user. What is so already is no change, save that a label is told anew. */
export function bind (state: SessionState, userId: string, options: unknown = {}): void {
  const { userIndex } = state.settings
  if (userIndex === false) throw new errors.BadOption('userIndex', 'is not set, so sessions have no users: set it to true')
  const users = userIndex.namesOf(userId)
  const label = labelOf(options)
  const [user] = users
  const isBound = state.own.get().user === user
  if (isBound && label === undefined) return
  state.binding = { users, label }
  state.own.assign({ user })
  // The session's own write follows that of its list, or is refused where it has ended.
  if (isBound) state.own.doubt({ user })
  state.change()
}

function labelOf (options: unknown): string | undefined {
  if (typeof options !== 'object' || options === null) throw new errors.BadOption('bind(userId, options)', 'must be an object such as { label }')
  const { label } = options as { label?: unknown }
  if (label === undefined) return undefined
  const isText = typeof label === 'string' && label !== '' && label.isWellFormed()
  if (!isText || Buffer.byteLength(label) > LONGEST_LABEL) throw new errors.BadOption('label', `must be a text of 1 to ${LONGEST_LABEL} bytes`)
  return label
}
