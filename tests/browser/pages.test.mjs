// The account's own pages in Chromium: a person's way through them, with a keyboard and no script, and as a browser is
// usually set. The server under test is named by the environment:
//
//   ZAP_URL     where it is
//   CHROMIUM    the browser's program
//   PICTURES    a folder that gets a picture of each page, for people to look at; none are kept without it

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { AtpAgent } from '@atproto/api'
import { chromium } from 'playwright-core'

const url = process.env.ZAP_URL
const password = 'correct horse battery'
const run = Date.now().toString(36).slice(-6)
const signedIn = ['', '/sessions', '/app-passwords', '/email', '/password', '/two-factor', '/passkeys', '/handle', '/recovery-key', '/status']
const guests = ['/sign-in', '/sign-up', '/reset']

let browser
// Root has no sandbox to put a browser in.
before(async () => { browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] }) })
after(() => browser?.close())

/** A browser of its own; nothing but the server is reached, and nothing is refused by a page's policy. */
async function open(options) {
  const context = await browser.newContext({ baseURL: url, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  page.complaints = []
  page.on('console', (message) => { if (message.type() === 'error') page.complaints.push(message.text()) })
  page.on('request', (request) => { if (!request.url().startsWith(url)) page.complaints.push(request.url()) })
  return page
}

async function signUp(page, name) {
  await page.goto('/account/sign-up')
  await page.getByLabel('Name').fill(name)
  await page.getByLabel('E-mail address').fill(`${name}@example.com`)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Make the account' }).click()
  await page.getByText(`${name}.test`).first().waitFor()
}

async function signIn(page, name, secret = password) {
  await page.goto('/account/sign-in')
  // With nothing but the keyboard, from field to field.
  await page.getByLabel('Handle, e-mail address or DID').focus()
  await page.keyboard.type(`${name}.test`)
  await page.keyboard.press('Tab')
  await page.keyboard.type(secret)
  await page.keyboard.press('Enter')
}

for (const javaScriptEnabled of [false, true]) {
  test(`a person signs up and in, and an app gets a password and loses it (JavaScript ${javaScriptEnabled})`, async () => {
    const page = await open({ javaScriptEnabled })
    const name = `p${javaScriptEnabled ? 'j' : 'n'}-${run}`
    await signUp(page, name)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL('**/account/sign-in')
    await signIn(page, name, 'wrong')
    await page.getByRole('alert').getByText('is wrong').waitFor()
    // The name is still there; the field that is wrong has the focus, and says so.
    assert.equal(await page.getByLabel('Handle, e-mail address or DID').inputValue(), `${name}.test`)
    assert.equal(await page.getByLabel('Password', { exact: false }).getAttribute('aria-invalid'), 'true')
    await signIn(page, name)
    await page.waitForURL('**/account')

    await page.getByRole('link', { name: 'App passwords' }).click()
    await page.getByLabel('What it is for').fill('phone')
    await page.getByLabel('Public records: posts, likes, files').check()
    await page.getByRole('button', { name: 'Make one' }).click()
    await page.getByText('It is not shown again').waitFor()
    const made = await page.locator('dt:text-is("App password") + dd').textContent()
    const app = new AtpAgent({ service: url })
    await app.login({ identifier: `${name}.test`, password: made })
    await app.post({ text: 'hello', createdAt: new Date().toISOString() })

    await page.getByRole('link', { name: 'Devices and apps' }).click()
    await page.getByText('An app, with the app password “phone”').waitFor()
    await page.getByRole('link', { name: 'App passwords' }).click()
    await page.getByRole('button', { name: 'Revoke: phone' }).click()
    await page.getByText('There is none.').waitFor()
    await assert.rejects(app.com.atproto.server.refreshSession(undefined, {
      headers: { authorization: `Bearer ${app.session.refreshJwt}` },
    }), { error: 'ExpiredToken' })
    await assert.rejects(new AtpAgent({ service: url }).login({ identifier: `${name}.test`, password: made }))
    assert.deepEqual(page.complaints.filter((text) => !text.includes('status of 400')), [])
    await page.context().close()
  })
}

/** The code of a secret in base32, so many steps from now. */
function codeOf(secret, steps) {
  const bits = [...secret].map((char) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(char).toString(2).padStart(5, '0'))
  const key = Buffer.from(bits.join('').match(/.{8}/g).map((byte) => parseInt(byte, 2)))
  const count = Buffer.alloc(8)
  count.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps))
  const tag = createHmac('sha1', key).update(count).digest()
  return String((tag.readUInt32BE(tag[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

async function signOut(page) {
  await page.goto('/account')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.waitForURL('**/account/sign-in')
}

test('a person signs in with a passkey alone, and then with the password and a code', async () => {
  const page = await open({})
  const name = `k-${run}`
  await signUp(page, name)
  const devices = await page.context().newCDPSession(page)
  await devices.send('WebAuthn.enable')
  const { authenticatorId } = await devices.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  })
  await page.getByRole('link', { name: 'Passkeys' }).click()
  await page.getByLabel('Name').fill('Laptop')
  await page.getByRole('button', { name: 'Add a passkey' }).click()
  await page.getByText('The passkey is added.').waitFor()
  const onPaper = await page.locator('section:has(h2:text-is("Your recovery codes")) strong').allTextContents()
  assert.equal(onPaper.length, 10)
  const { credentials } = await devices.send('WebAuthn.getCredentials', { authenticatorId })
  assert.deepEqual(credentials.map(({ rpId, isResidentCredential }) => [rpId, isResidentCredential]), [['localhost', true]])

  await signOut(page)
  await page.getByRole('button', { name: 'Sign in with a passkey' }).click()
  await page.waitForURL('**/account')
  await page.getByText(`${name}.test`).first().waitFor()
  await page.getByRole('link', { name: 'Passkeys' }).click()
  await page.getByText('Last used').waitFor()

  await page.getByRole('link', { name: 'Two-factor sign-in' }).click()
  await page.getByRole('button', { name: 'Set it up' }).click()
  await page.getByRole('img', { name: 'authenticator app' }).waitFor()
  const secret = await page.locator('dt:text-is("Secret") + dd').textContent()
  await page.getByLabel('Code from the app').fill(codeOf(secret, 0))
  await page.getByRole('button', { name: 'Turn it on' }).click()
  await page.getByText('Two-factor sign-in is on.').waitFor()
  await signOut(page)
  await signIn(page, name)
  await page.getByRole('button', { name: 'Use a passkey' }).waitFor()
  // That of now was used to turn it on; a clock may be half a minute ahead.
  await page.getByLabel('Code from your app').fill(codeOf(secret, 1))
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.waitForURL('**/account')
  await signOut(page)
  await signIn(page, name)
  await page.getByRole('button', { name: 'Use a passkey' }).click()
  await page.waitForURL('**/account')
  assert.deepEqual(page.complaints, [])
  await page.context().close()

  const plain = await open({ javaScriptEnabled: false })
  await signIn(plain, name)
  await plain.getByLabel('Code from your app').fill(onPaper[0])
  assert.equal(await plain.getByRole('button', { name: 'Use a passkey' }).count(), 0)
  await plain.getByRole('button', { name: 'Sign in', exact: true }).click()
  await plain.waitForURL('**/account')
  assert.deepEqual(plain.complaints, [])
  await plain.context().close()
})

test('no page is wider than its window, in the light and in the dark', async () => {
  const name = `w-${run}`
  const first = await open({})
  await signUp(first, name)
  const storageState = await first.context().storageState()
  for (const width of [320, 1280]) {
    for (const colorScheme of ['light', 'dark']) {
      const look = async (page, path) => {
        await page.goto(`/account${path}`)
        const [has, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
        assert(has <= room, `${path} is ${has} wide in a window of ${room}`)
        if (process.env.PICTURES) {
          const file = `${path.slice(1) || 'account'}-${width}-${colorScheme}.png`
          await page.screenshot({ path: join(process.env.PICTURES, file), fullPage: true })
        }
      }
      const viewport = { width, height: 800 }
      const page = await open({ storageState, viewport, colorScheme })
      for (const path of signedIn) await look(page, path)
      const guest = await open({ viewport, colorScheme })
      for (const path of guests) await look(guest, path)
      assert.deepEqual([...page.complaints, ...guest.complaints], [])
      await page.context().close()
      await guest.context().close()
    }
  }
})
