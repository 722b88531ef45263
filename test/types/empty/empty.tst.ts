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

test('properties are unknown', () => {
  session['cart'] = ['apple']
  expect(session['cart']).type.toBe<unknown>()
})
