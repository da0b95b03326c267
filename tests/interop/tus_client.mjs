// tus-js-client on one file, in chunks, stopped after so many bytes: node tus_client.mjs PACKAGES < job.json
import { createReadStream, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(`${process.argv[2]}/`)
const tus = require('tus-js-client')
const job = JSON.parse(readFileSync(0, 'utf8'))
const [ca, cert, key] = [job.root, job.chain, job.key].map((path) => readFileSync(path))
const done = (told) => { process.stdout.write(`${JSON.stringify(told)}\n`); process.exit(0) }
const upload = new tus.Upload(createReadStream(job.file), {
  endpoint: job.endpoint,
  uploadUrl: job.uploadUrl ?? null,
  uploadSize: job.size,
  chunkSize: job.chunk,
  metadata: job.metadata,
  retryDelays: null,
  httpStack: new tus.DefaultHttpStack({ ca, cert, key, minVersion: 'TLSv1.3' }),
  onChunkComplete: (_, sent) => { if (job.stop && sent >= job.stop) done({ url: upload.url, sent }) },
  onSuccess: () => done({ url: upload.url, sent: job.size }),
  onError: (error) => done({ error: String(error) }),
})
upload.start()
