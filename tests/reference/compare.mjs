// The reference server beside ours: the same calls to both, and where their answers differ. What is known and wanted is in
// differences.json, each with its reason; anything else fails, and so does what is listed there and no longer so.
//
//   node compare.mjs [--all]        with --all, what is known is printed too
//
// The server under test is named by the environment: ZAP_URL, ZAP_PLC_URL, ZAP_ADMIN_TOKEN, and ZAP_MAIL_PORT, the port
// on this machine to which it hands its mail. With LOG_ENABLED=true the reference says what it does.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PDS } from '@atproto/pds'
import { mistakes } from './bad.mjs'
import { judge } from './judge.mjs'
import { Mailbox } from './mailbox.mjs'
import { differences } from './shape.mjs'
import { prepare, stories } from './stories.mjs'
import { World } from './world.mjs'

const { ZAP_URL, ZAP_PLC_URL, ZAP_ADMIN_TOKEN, ZAP_MAIL_PORT } = process.env

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

/** The reference server, over a folder of its own. */
async function startReference(folder, mailPort) {
  const port = await freePort()
  const secret = (digit) => digit.repeat(64)
  Object.assign(process.env, {
    PDS_PORT: port,
    PDS_HOSTNAME: 'localhost',
    PDS_DEV_MODE: 'true',
    PDS_DATA_DIRECTORY: folder,
    PDS_BLOBSTORE_DISK_LOCATION: join(folder, 'blobs'),
    PDS_DID_PLC_URL: ZAP_PLC_URL,
    PDS_INVITE_REQUIRED: 'false',
    PDS_ENABLE_DID_DOC_WITH_SESSION: 'true',
    PDS_EMAIL_SMTP_URL: `smtp://127.0.0.1:${mailPort}`,
    PDS_EMAIL_FROM_ADDRESS: 'mail@reference.example.com',
    PDS_MODERATION_EMAIL_SMTP_URL: `smtp://127.0.0.1:${mailPort}`,
    PDS_MODERATION_EMAIL_ADDRESS: 'mail@reference.example.com',
    PDS_DPOP_SECRET: secret('1'),
    PDS_JWT_SECRET: secret('2'),
    PDS_ADMIN_PASSWORD: 'reference-admin',
    PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: secret('3'),
  })
  const server = await PDS.fromEnv()
  // It looks a DID up on public addresses only, with no setting for another directory's.
  server.ctx.idResolver.did.methods.get('plc').fetch = globalThis.fetch
  await server.start()
  return { server, url: `http://localhost:${port}`, admin: 'reference-admin' }
}

const folder = mkdtempSync(join(tmpdir(), 'reference-'))
const mails = [await new Mailbox().listen(Number(ZAP_MAIL_PORT)), await new Mailbox().listen(await freePort())]
const reference = await startReference(folder, mails[1].port)
const worlds = [new World('ours', ZAP_URL, ZAP_ADMIN_TOKEN, mails[0]), new World('reference', reference.url, reference.admin, mails[1])]
let failed = false
try {
  await Promise.all(worlds.map(async (w) => {
    await prepare(w)
    await mistakes(w)
    await stories(w)
  }))
  const [ours, theirs] = worlds.map((w) => w.answers)
  const found = [...new Set([...ours.keys(), ...theirs.keys()])].flatMap((of) =>
    differences(ours.get(of), theirs.get(of)).map(([what, a, b]) => ({ of, what, ours: a, reference: b })))
  const listed = JSON.parse(readFileSync(new URL('./differences.json', import.meta.url), 'utf8'))
  failed = judge(found, listed, ours.size, process.argv.includes('--all'))
} finally {
  for (const mail of mails) mail.close()
  await reference.server.destroy()
  rmSync(folder, { recursive: true })
}
process.exit(failed ? 1 : 0)
