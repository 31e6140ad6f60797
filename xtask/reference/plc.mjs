// A PLC directory in memory for the reference server: it checks operations with the directory's own library.
import http from 'node:http'
import plc from '@did-plc/lib'

const logs = new Map()

const server = http.createServer(async (request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
  try {
    const [did, ...rest] = decodeURIComponent(new URL(request.url, 'http://x').pathname).slice(1).split('/')
    if (did === '_health') return answer(200, { version: 'bench' })
    const log = logs.get(did) ?? []
    if (request.method === 'POST') {
      let body = ''
      for await (const chunk of request) body += chunk
      const operations = [...log, JSON.parse(body)]
      await plc.validateOperationLog(did, operations)
      logs.set(did, operations)
      return answer(200, {})
    }
    if (log.length === 0) return answer(404, { message: `DID not registered: ${did}` })
    const last = log.at(-1)
    if (rest[0] === 'log') return answer(200, rest[1] === 'last' ? last : log)
    if (rest[0] === 'data') return answer(200, { did, ...last })
    return answer(200, await plc.formatDidDoc({ did, ...last }))
  } catch (error) {
    answer(400, { message: String(error) })
  }
})
server.listen(Number(process.env.PLC_PORT), '127.0.0.1')
