/** MailboxStore: the adapters. */

import { MemoryMailboxStore } from "../../server/mod.ts";
import { mailboxSuite } from "../suites/mailbox_suite.ts";

mailboxSuite("MemoryMailboxStore", (limits) => new MemoryMailboxStore(limits));
