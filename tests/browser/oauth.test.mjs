// @atproto/oauth-client-browser, unchanged, in Chromium: an application on a page of its own, at another origin than the
// server's, signs a person in through the server's pages. The environment is that of pages.test.mjs, and ZAP_PLC_URL, where the
// PLC directory is.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AtpAgent } from '@atproto/api'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'

const url = process.env.ZAP_URL
const password = 'correct horse battery'
const run = Date.now().toString(36).slice(-6)
const scope = 'atproto repo:app.bsky.feed.post'

let browser, server, origin

before(async () => {
  let script
  server = createServer((request, response) => {
    const isScript = request.url === '/app.js'
    response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html' })
    response.end(isScript ? script : '<!doctype html><title>An application</title><script type="module" src="/app.js"></script>')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${server.address().port}`
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL('./app.js', import.meta.url))],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    define: {
      SERVICE: JSON.stringify(url),
      PLC: JSON.stringify(process.env.ZAP_PLC_URL),
      CLIENT_ID: JSON.stringify(`http://localhost?${new URLSearchParams({ redirect_uri: `${origin}/`, scope })}`),
    },
  })
  script = bundle.outputFiles[0].text
  // Root has no sandbox to put a browser in.
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] })
})
after(async () => {
  await browser?.close()
  server.close()
})

async function account(name) {
  const agent = new AtpAgent({ service: url })
  const handle = `${name}-${run}.test`
  await agent.createAccount({ handle, email: `${name}-${run}@example.com`, password })
  return { agent, handle, did: agent.session.did }
}

/** The application, opened anew or where the browser was sent back to it; says whose session it has. */
async function application(page, goto) {
  if (goto) await page.goto(goto)
  await page.waitForFunction(() => globalThis.application)
  return page.evaluate(() => application.init())
}

/** Begins to sign in, and does what a person does on the server's first page. */
async function begin(page, handle) {
  await application(page, `${origin}/`)
  await page.evaluate((handle) => void application.signIn(handle), handle)
  await page.waitForURL(`${url}/oauth/authorize?**`)
  const identifier = page.getByLabel('Handle, e-mail address or DID')
  assert.equal(await identifier.inputValue(), handle, 'who was asked for is filled in')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByRole('heading', { name: 'It will be able to' }).waitFor()
}

async function open() {
  const page = await (await browser.newContext()).newPage()
  page.setDefaultTimeout(20_000)
  page.errors = []
  page.on('pageerror', (error) => page.errors.push(error.message))
  return page
}

test('an application in a browser signs in, posts, refreshes and signs out', async () => {
  const { agent, handle, did } = await account('web')
  const page = await open()
  await begin(page, handle)
  await page.getByRole('button', { name: 'Allow', exact: true }).click()
  await page.waitForURL(`${origin}/**`)
  assert.equal(await application(page), did)
  assert.equal(await page.evaluate(() => location.hash), '', 'the code is in no history')

  const who = await page.evaluate(() => application.who())
  assert.deepEqual([who.did, who.handle], [did, handle])
  const made = await page.evaluate(() => application.post('from a page'))
  const list = () => agent.com.atproto.repo.listRecords({ repo: did, collection: 'app.bsky.feed.post' })
  assert.deepEqual((await list()).data.records.map(({ uri, value }) => [uri, value.text]), [[made.uri, 'from a page']])
  assert.deepEqual(await page.evaluate(({ uri, cid }) => application.like(uri, cid), made), [403, 'ScopeMissingError'])

  // Opened anew it has its session, whose key never left the browser's store.
  assert.equal(await application(page, `${origin}/`), did)
  assert.equal(await page.evaluate(() => application.refresh()), true)
  await page.evaluate(() => application.post('after a refresh'))
  assert.equal((await list()).data.records.length, 2)

  await page.evaluate(() => application.signOut())
  assert.match(await page.evaluate((did) => application.restore(did), did), /session was deleted/)
  assert.equal(await application(page, `${origin}/`), undefined)
  assert.deepEqual(page.errors, [])
  await page.context().close()
})

test('an application in a browser is told that it is not allowed', async () => {
  const { handle } = await account('no')
  const page = await open()
  await begin(page, handle)
  await page.getByRole('button', { name: 'Don’t allow' }).click()
  await page.waitForURL(`${origin}/**`)
  await page.waitForFunction(() => globalThis.application)
  const error = await page.evaluate(() => application.init().then(() => 'signed in', (error) => error.params.get('error')))
  assert.equal(error, 'access_denied')
  await page.context().close()
})
