import type { FastifyRequest } from 'fastify'

/** A form's field, trimmed; empty where it is missing, sent twice or longer than the form allows. */
export function field (request: FastifyRequest, name: string, longest = 40): string {
  return textIn(request.body, name, longest)
}

/** The same of the address. */
export function queryField (request: FastifyRequest, name: string): string {
  return textIn(request.query, name, 40)
}

function textIn (source: unknown, name: string, longest: number): string {
  const value: unknown = Object.entries(source ?? {}).find(([key]) => key === name)?.[1]
  const text = typeof value === 'string' ? value.trim() : ''
  return text.length <= longest ? text : ''
}
