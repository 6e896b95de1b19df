// Signs in with matrix-js-sdk, reads one room as a web client does, and writes
// as JSON what the library makes of it. What to read comes as JSON on standard
// input: {homeserver, user, password, room, limit, threads, answer}. The answer
// goes into a file, because the library has its own say on standard output.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import * as sdk from "matrix-js-sdk";

const ask = JSON.parse(readFileSync(0, "utf8"));
const state = async (what, check) => {
    for (const end = Date.now() + 30_000; !check(); await new Promise((done) => setTimeout(done, 50))) {
        if (Date.now() > end) throw new Error(`waited too long for ${what}`);
    }
};

const guest = sdk.createClient({ baseUrl: ask.homeserver });
const login = await guest.loginRequest({
    type: "m.login.password",
    identifier: { type: "m.id.user", user: ask.user },
    password: ask.password,
});
const client = sdk.createClient({ baseUrl: ask.homeserver, userId: login.user_id, accessToken: login.access_token, deviceId: login.device_id });
// The library takes m.thread for a thread only where the homeserver says that it
// knows threads. Dendrite does not say so; web clients then show each message of
// a thread as an answer to the one before it. "threads" has the library read
// threads all the same, to see what it makes of them.
if (ask.threads) client.doesServerSupportThread = async () => ({ threads: 2, list: 0, fwdPagination: 0 });
await client.startClient({ threadSupport: true, initialSyncLimit: ask.limit });
await state("the first sync", () => client.isInitialSyncComplete());

const room = client.getRoom(ask.room);
if (!room) throw new Error(`${ask.user} is not in the room`);
if (sdk.Thread.hasServerSideListSupport) {
    await room.createThreadsTimelineSets();
    await room.fetchRoomThreads();
}
const whole = async (timeline) => {
    while (await client.paginateEventTimeline(timeline, { backwards: true, limit: 50 }));
};
await whole(room.getLiveTimeline());
for (const thread of room.getThreads()) {
    await state(`the thread ${thread.id}`, () => thread.initialEventsFetched || !sdk.Thread.hasServerSideSupport);
    await whole(thread.liveTimeline);
}
// What a timeline brought is decided about in promises of the library's own.
await new Promise((done) => setTimeout(done, 200));

// A file is downloaded as clients do it now: signed in.
const media = async (content) => {
    if (!content.url) return undefined;
    const url = client.mxcUrlToHttp(content.url, undefined, undefined, undefined, false, true, true);
    const answer = await fetch(url, { headers: { Authorization: `Bearer ${client.getAccessToken()}` } });
    const bytes = Buffer.from(await answer.arrayBuffer());
    return {
        path: new URL(url).pathname.split("/").slice(0, 5).join("/"),
        status: answer.status,
        type: answer.headers.get("content-type"),
        size: bytes.length,
        sha256: createHash("sha256").update(bytes).digest("hex"),
    };
};

const reactions = (set, id) => {
    const of = set.relations.getChildEventsForEvent(id, sdk.RelationType.Annotation, sdk.EventType.Reaction);
    return Object.fromEntries((of?.getSortedAnnotationsByKey() ?? []).map(([key, by]) => [key, [...by].map((e) => e.getSender()).sort()]));
};

const message = async (event, set) => {
    const content = event.getContent();
    return {
        id: event.getId(),
        sender: event.getSender(),
        redacted: event.isRedacted(),
        edited: event.replacingEvent() !== null && event.replacingEvent() !== undefined,
        msgtype: content.msgtype,
        body: content.body,
        html: content.formatted_body,
        mentions: content["m.mentions"]?.user_ids ?? [],
        everybody: content["m.mentions"]?.room ?? false,
        highlight: client.getPushActionsForEvent(event, true)?.tweaks?.highlight ?? false,
        thread: event.threadRootId,
        reply_to: event.replyEventId,
        reactions: reactions(set, event.getId()),
        media: event.isRedacted() ? undefined : await media(content),
    };
};
const messages = async (events, set) => {
    const out = [];
    for (const event of events) {
        // Edits and reactions are no messages of their own; the library has put them where they belong.
        const kind = event.isRedacted() ? event.getType() : (event.getContent().msgtype && event.getType());
        if (kind === sdk.EventType.RoomMessage && !event.isRelation(sdk.RelationType.Replace)) out.push(await message(event, set));
    }
    return out;
};

const threads = {};
for (const thread of room.getThreads()) {
    threads[thread.id] = {
        root: thread.rootEvent?.getId(),
        length: thread.length,
        newest: thread.replyToEvent?.getId(),
        replies: (await messages(thread.events, thread.timelineSet)).filter((m) => m.id !== thread.id),
    };
}
writeFileSync(ask.answer, JSON.stringify({
    main: await messages(room.getLiveTimeline().getEvents(), room.getUnfilteredTimelineSet()),
    threads,
    server_threads: Boolean(sdk.Thread.hasServerSideSupport),
}));
client.stopClient();
await client.logout(true);
process.exit(0);
