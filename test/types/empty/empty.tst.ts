import { expect, test } from 'tstyche'
import type { Session } from '../../../index.js'

declare const session: Session

test('without a declaration, keys are any text and values unknown', () => {
  expect(session.get('anything')).type.toBe<unknown>()
  expect(session.set).type.toBeCallableWith('anything', { any: 'value' })
  expect(session.keys()).type.toBe<string[]>()
  expect(session.data()).type.toBe<Partial<Record<string, unknown>>>()
})

test('members keep their types', () => {
  expect(session.save()).type.toBe<Promise<void>>()
  expect(session.version).type.toBe<number | undefined>()
})

test('update takes and gives what is unknown', () => {
  expect(session.update('count', value => {
    expect(value).type.toBe<unknown>()
    return Number(value ?? 0) + 1
  })).type.toBe<Promise<unknown>>()
  expect(session.update).type.toBeCallableWith('anything', async () => ({ any: 'value' }))
  expect(session.update).type.not.toBeCallableWith('anything', 5)
  expect(session.update).type.not.toBeCallableWith(5, () => 5)
})

test('properties are unknown', () => {
  session['cart'] = ['apple']
  expect(session['cart']).type.toBe<unknown>()
})
