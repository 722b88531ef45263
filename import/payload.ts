import { errors } from '../lib/errors.js'
import { membersOfJson, type Members } from '../lib/members.js'

/**
 * Texts, and the numbers between them: JSON's own, and those that Python writes beside them. A text that does not end goes to the
 * end, or what is broken would be searched anew from each of its quotes.
 */
const PARTS = /"(?:[^"\\]+|\\[^])*"?|-?Infinity|NaN|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/**
 * An object as Python writes it. Python's integers have no limit and its numbers may be infinite or none at all: what
 * JavaScript would make something else of is refused, so that nothing changes on the way.
 */
export function fromPythonJson (text: string): Members {
  const oddities = new Set<string>()
  const plain = text.replace(PARTS, part => {
    const oddity = oddityOf(part)
    if (oddity !== undefined) oddities.add(oddity)
    return oddity === undefined ? part : 'null'
  })
  const members = membersOfJson(plain)
  const [oddity] = oddities
  if (members !== undefined && oddity !== undefined) throw new errors.NotImportable(`one of its values holds ${oddity}`)
  return members
}

function oddityOf (part: string): string | undefined {
  if (part.startsWith('"')) return undefined
  if (part === 'NaN' || part.endsWith('Infinity')) return 'a number that is not finite'
  const isInteger = /^-?\d+$/.test(part)
  return isInteger && !Number.isSafeInteger(Number(part)) ? 'an integer beyond those that JavaScript has' : undefined
}
