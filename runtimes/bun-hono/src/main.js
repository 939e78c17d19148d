import { createServer } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { serve } from '@microsim/common';
import { createApp } from './app.js';

// Not Bun.serve, which cannot close a connection without an answer, nor tell that a
// client has left.
await serve((service) => createServer(getRequestListener(createApp(service).fetch, { overrideGlobalObjects: false })));
