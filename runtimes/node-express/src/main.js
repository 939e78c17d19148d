import { createServer } from 'node:http';
import { serve } from '@microsim/common';
import { createApp } from './app.js';

await serve((service) => createServer(createApp(service)));
