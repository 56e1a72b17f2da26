/** MailboxStore: the adapters. */

import {
  MemoryMailboxStore,
  MemoryRelayStore,
  openSqliteMailboxStore,
  welcomeDelivery,
} from "../../server/mod.ts";
import { mailboxSuite } from "../suites/mailbox_suite.ts";

mailboxSuite("MemoryMailboxStore", (limits) => new MemoryMailboxStore(limits));
mailboxSuite("SQLite mailboxes", (limits) =>
  openSqliteMailboxStore(":memory:", {
    limits,
    welcome: (head) => welcomeDelivery(new MemoryRelayStore(), head),
    log: (event) => {
      throw new Error(event.type);
    },
  }));
