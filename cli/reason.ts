import { errors, isOurs, safeCause } from '../lib/errors.js'
import { quote } from './output.js'

/** Names of causes that have a remedy of their own. */
const REMEDIES: Readonly<Record<string, string>> = {
  CredentialsProviderError: 'There are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --profile. Another engine takes any.',
  ECONNREFUSED: 'Nobody listens there: look at --endpoint.',
  ENOTFOUND: 'There is no such host: look at --endpoint and --region.',
  TimeoutError: 'It took too long: look at --endpoint and the network, or give a longer --timeout.',
  ExpiredTokenException: 'The credentials have expired: log in again.'
}

/** What went wrong and what to do, in a sentence or two, without ids, values, ARNs and accounts. */
export function reasonOf (error: unknown): string {
  if (!(error instanceof Error)) return safeCause(error).message
  if (error instanceof errors.Unavailable || error instanceof errors.TableMismatch) return `${unavailableText(error)}${because(error)}`
  return isOurs(error) ? error.message : safeCause(error).message
}

/** For a command that was started by hand, "the cause is in the log" is no help. */
function unavailableText (error: Error): string {
  return error instanceof errors.Unavailable ? 'DynamoDB did not do it.' : error.message
}

function because (error: Error): string {
  const chain = chainOf(error.cause)
  const known = chain.flatMap(cause => [codeOf(cause), cause.name]).find(name => name in REMEDIES)
  const told = chain.map(cause => `${nameOf(cause)}${cause.message === '' ? '' : `: ${unquoted(cause.message)}`}`)[0]
  return `${told === undefined ? '' : ` ${told}.`}${known === undefined ? '' : ` ${REMEDIES[known]}`}`.replaceAll('..', '.')
}

function chainOf (cause: unknown): Error[] {
  const chain: Error[] = []
  for (let next = cause; next instanceof Error && chain.length < 10; next = next.cause) chain.push(safeCause(next))
  return chain
}

function nameOf (cause: Error): string {
  return cause.name === 'Error' ? codeOf(cause) || 'Error' : cause.name
}

function codeOf (cause: Error): string {
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
}

/** A service's text on one line, with nothing in it that a terminal obeys. */
function unquoted (text: string): string {
  return quote(text).slice(1, -1).replaceAll('\\"', '"')
}
