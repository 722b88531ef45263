/** A refusal of ours: its text holds no part of the value, as the text of somebody else's error may. */
export class Refusal extends TypeError {}

/** Refuses a value: what it holds that its format cannot carry, and what to do. */
export function refuse (fact: string, remedy: string): never {
  throw new Refusal(`it holds ${fact}; ${remedy}`)
}

/** What may be stored member by member: an object literal, or one without a prototype, of any realm. */
export function isPlainObject (value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** The name of a class, for a message. */
export function classOf (value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value)
  const constructor: unknown = typeof prototype === 'object' && prototype !== null ? prototype.constructor : undefined
  return typeof constructor === 'function' && constructor.name !== '' ? constructor.name : 'an unnamed class'
}

export function isEmptyContainer (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.length === 0
  return isPlainObject(value) && Object.keys(value).length === 0
}

/** What @fastify/flash puts under its key with every page that finds no messages. */
export function isNoMessages (key: string, value: unknown): boolean {
  return key === 'flash' && !Array.isArray(value) && isEmptyContainer(value)
}

/** Whether something can change in place. */
export function isMutable (value: unknown): boolean {
  return typeof value === 'object' && value !== null
}
