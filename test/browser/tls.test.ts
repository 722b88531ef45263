import t from 'tap'
import { makeCertificate } from '../support/certificate.js'
import { inShop, skip } from '../support/browser.js'

t.test('over https the browser stores a Secure cookie with the prefix __Host-, and drops it with the log-out', skip, inShop({ https: makeCertificate() }, async (t, { person }) => {
  const ann = await person()
  await ann.logIn('Ann')
  const attributes = { domain: 'localhost', path: '/', expires: -1, httpOnly: true, secure: true, sameSite: 'Lax' }
  const stored = (await ann.context.cookies()).map(({ value: _, ...rest }) => rest).sort((a, b) => a.name.length - b.name.length)
  t.match(stored[0], { ...attributes, name: '__Host-id' })
  for (const other of stored.slice(1)) t.match(other, { name: '__Host-id-v', domain: 'localhost', path: '/', httpOnly: true, secure: true, sameSite: 'Lax' })
  t.equal(await ann.page.evaluate('document.cookie'), '')

  t.match(ann.page.url(), /^https:/)
  await ann.page.goto('/')
  await ann.press('Add Cup to the cart')
  await ann.page.getByText('The cup is in your cart.').waitFor()
  await ann.page.getByRole('banner').getByRole('button', { name: 'Log out', exact: true }).click()
  await ann.page.getByText('Nothing of your session is left.').waitFor()
  t.equal(await ann.token(), undefined)
}))

t.test('a cookie of that name that is not Secure or not for all paths is refused by the browser, whoever plants it', skip, inShop({ https: makeCertificate() }, async (t, { person }) => {
  const ann = await person()
  await ann.page.goto('/')
  for (const attempt of ['__Host-id=planted', '__Host-id=planted; Path=/cart; Secure']) {
    await ann.page.evaluate(`document.cookie = ${JSON.stringify(attempt)}`)
    t.equal(await ann.token(), undefined, attempt)
  }
  await ann.page.evaluate("document.cookie = '__Host-id=planted; Path=/; Secure'")
  t.equal((await ann.token())?.value, 'planted', 'a script of the page itself could')
  t.equal((await ann.page.goto('/cart'))?.status(), 200)
  await ann.heading('You are logged out')
  await ann.press('Go on without')
  await ann.heading('Things for the table')
  t.equal(await ann.token(), undefined)
  await ann.press('Add Cup to the cart')
  await ann.page.getByText('The cup is in your cart.').waitFor()
  t.not((await ann.token())?.value.slice(0, 7), 'planted', 'no session is begun under what is not signed')
}))
