package bridge

import (
	up "go.mau.fi/util/configupgrade"
)

// baseDefault is a default of the framework's part of the configuration that
// this bridge sets otherwise.
type baseDefault struct {
	tag   up.YAMLType
	value string
	path  []string
}

// baseDefaults makes the framework's example configuration ours. The reasons
// stand in doc.go, "What the framework is configured to do".
func baseDefaults() []baseDefault {
	path := func(p ...string) []string { return p }
	return []baseDefault{
		{up.Bool, "false", path("bridge", "personal_filtering_spaces")},
		{up.Int, "256", path("bridge", "portal_event_buffer")},
		{up.Bool, "false", path("bridge", "kick_matrix_users")},
		{up.Bool, "true", path("bridge", "relay", "enabled")},
		{up.Str, "sqlite3-fk-wal-fullsync", path("database", "type")},
		{up.Str, "file:teamsbridge.db?_txlock=immediate", path("database", "uri")},
		{up.Int, "5", path("database", "max_idle_conns")},
		{up.Bool, "true", path("matrix", "message_status_events")},
		{up.Bool, "true", path("matrix", "delivery_receipts")},
		{up.Bool, "false", path("matrix", "federate_rooms")},
		{up.Bool, "false", path("appservice", "ephemeral_events")},
		{up.Str, "", path("appservice", "bot", "avatar")},
		{up.Int, "0", path("backfill", "max_catchup_messages")},
		// At debug level the framework logs what people write.
		{up.Str, "info", path("logging", "min_level")},
	}
}

// upgradeConfig copies every key of an operator's file into the current
// example, so that new keys appear with their comments. The framework runs it
// before its own part, so the defaults above only stand where the operator's
// file says nothing.
func upgradeConfig(helper up.Helper, newKey func() string) {
	if proxy, ok := helper.(*up.ProxyHelper); ok {
		for _, d := range baseDefaults() {
			proxy.Target.Set(d.tag, d.value, d.path...)
		}
	}
	for _, key := range []string{
		"tenant_id", "client_id", "client_secret", "client_secret_file", "client_secret_expires",
		"certificate_file", "certificate_key_file", "certificate_password", "certificate_password_file",
		"cloud", "ca_file", "proxy", "encryption_key_file", "encryption_key_previous", "encryption_key_previous_file", "ops_room", "language", "time_zone",
	} {
		helper.Copy(up.Str|up.Int|up.Null, key)
	}
	upgradeKey(helper, newKey)
	helper.Copy(up.Str|up.Null, "endpoints", "login")
	helper.Copy(up.Str|up.Null, "endpoints", "graph")
	helper.Copy(up.List, "endpoints", "hosts")
	helper.Copy(up.List, "endpoints", "files")

	helper.Copy(up.List, "teams", "rules")
	helper.Copy(up.List, "teams", "include")
	helper.Copy(up.List, "teams", "exclude")
	helper.Copy(up.Map, "teams", "channels")
	helper.Copy(up.Map, "teams", "exclude_channels")
	helper.Copy(up.List, "teams", "membership_types")

	helper.Copy(up.Str, "mapping", "attribute")
	helper.Copy(up.Str, "mapping", "template")
	helper.Copy(up.Str|up.Null, "mapping", "domain")
	helper.Copy(up.Map, "mapping", "overrides")
	helper.Copy(up.Str|up.Null, "mapping", "overrides_file")
	helper.Copy(up.Bool, "mapping", "guests")
	helper.Copy(up.List, "mapping", "members_of")

	if join, ok := helper.Get(up.Str, "mapping", "join"); ok { // where it was before
		helper.Set(up.Str, join, "rooms", "join")
	}
	helper.Copy(up.Str, "rooms", "join")
	helper.Copy(up.Int, "rooms", "active_days")
	helper.Copy(up.Str, "rooms", "join_rule")
	helper.Copy(up.Str, "rooms", "history_visibility")
	helper.Copy(up.Map, "rooms", "power_levels")
	helper.Copy(up.Map, "rooms", "teams")

	helper.Copy(up.Int, "history")
	helper.Copy(up.Str|up.Int, "directory_interval")
	helper.Copy(up.Str, "redactions")
	helper.Copy(up.Str, "custom_reactions")

	helper.Copy(up.Bool, "webhook", "enabled")
	helper.Copy(up.Str|up.Null, "webhook", "listen")
	helper.Copy(up.Str|up.Null, "webhook", "public_url")
	helper.Copy(up.Str, "webhook", "scope")
	helper.Copy(up.Bool, "webhook", "resource_data")

	helper.Copy(up.Bool, "web_login", "enabled")
	helper.Copy(up.Str|up.Null, "web_login", "listen")
	helper.Copy(up.Str|up.Null, "web_login", "public_url")

	helper.Copy(up.Str, "poller", "mode")
	helper.Copy(up.Str|up.Int, "poller", "interval")
	helper.Copy(up.List, "poller", "readers")
	helper.Copy(up.Int|up.Float, "poller", "requests_per_second")
	helper.Copy(up.Str|up.Int, "poller", "reconcile_interval")

	helper.Copy(up.Int|up.Float, "limits", "rooms_per_second")
	helper.Copy(up.Int|up.Float, "limits", "joins_per_second")
	helper.Copy(up.Int, "limits", "image_size")
	helper.Copy(up.Int, "limits", "file_size")
	helper.Copy(up.Str|up.Int, "limits", "redaction_wait")
	helper.Copy(up.Str, "outage", "policy")
	helper.Copy(up.Int, "outage", "digest_above")
	helper.Copy(up.Str|up.Int, "outage", "max_age")
	helper.Copy(up.Map, "outage", "teams")
	helper.Copy(up.Str|up.Null, "outage", "reaction")
	helper.Copy(up.Str|up.Null, "metrics", "listen")
	helper.Copy(up.Str|up.Null, "audit", "file")
	helper.Copy(up.Bool, "status_page", "enabled")
	helper.Copy(up.Str|up.Null, "status_page", "listen")
	helper.Copy(up.Str|up.Null, "status_page", "public_url")
}

// upgradeKey generates the encryption key once, unless a file is to hold it.
func upgradeKey(helper up.Helper, newKey func() string) {
	key, _ := helper.Get(up.Str|up.Int, "encryption_key")
	file, _ := helper.Get(up.Str, "encryption_key_file")
	switch {
	case key != "" && key != generateKey:
		helper.Copy(up.Str|up.Int, "encryption_key")
	case file != "":
		helper.Set(up.Str, "", "encryption_key")
	default:
		helper.Set(up.Str, newKey(), "encryption_key")
	}
}

// networkUpgrader is the upgrader of the network section; newKey makes the
// value that replaces encryption_key: generate.
func networkUpgrader(newKey func() string) up.Upgrader {
	return &up.StructUpgrader{
		SimpleUpgrader: func(helper up.Helper) { upgradeConfig(helper, newKey) },
		Blocks: [][]string{
			{"cloud"}, {"encryption_key"}, {"teams"}, {"mapping"}, {"rooms"}, {"history"},
			{"redactions"}, {"webhook"}, {"web_login"}, {"poller"}, {"limits"}, {"outage"}, {"metrics"}, {"audit"}, {"status_page"}, {"ops_room"}, {"language"}, {"custom_reactions"},
		},
		Base: exampleNetworkConfig,
	}
}
