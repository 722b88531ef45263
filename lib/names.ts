// Deserialisers that build plain objects lose a member named __proto__, and so do the SDK and the engines on the way. Such
// a name, with any number of further underscores before it, is stored with one underscore more. No two names meet.
const PLAIN = /^_{2,}proto__$/
const STORED = /^_{3,}proto__$/

/** The attribute name for a name that the application chose. */
export function toAttributeName (name: string): string {
  return PLAIN.test(name) ? `_${name}` : name
}

/** The name that the application chose, from the attribute name. */
export function fromAttributeName (attribute: string): string {
  return STORED.test(attribute) ? attribute.slice(1) : attribute
}
