package database

import (
	"context"

	"go.mau.fi/util/dbutil"
)

// Statuses of staff.
const (
	StaffMapped   = "mapped"   // has a Matrix account
	StaffGuest    = "guest"    // excluded as a guest
	StaffUnmapped = "unmapped" // no rule gives a Matrix account
	StaffDisabled = "disabled" // disabled in the directory
)

// Staff is one user of the tenant and the Matrix account that is theirs.
type Staff struct {
	UserID, UPN, Mail, DisplayName, MXID, Status, Reason string
}

// StaffStore keeps who is who.
type StaffStore struct{ base }

const staffColumns = `user_id, upn, mail, display_name, mxid, status, reason`

// Upsert stores users in one transaction.
func (s *StaffStore) Upsert(ctx context.Context, users ...Staff) error {
	return s.inTxn(ctx, func(ctx context.Context) error {
		for _, u := range users {
			_, err := s.exec(ctx, "store staff", `
				INSERT INTO teams_staff (user_id, upn, mail, display_name, mxid, status, reason) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (user_id) DO UPDATE SET upn = excluded.upn, mail = excluded.mail, display_name = excluded.display_name,
					mxid = excluded.mxid, status = excluded.status, reason = excluded.reason`,
				u.UserID, u.UPN, u.Mail, u.DisplayName, u.MXID, u.Status, u.Reason)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// All returns everybody.
func (s *StaffStore) All(ctx context.Context) ([]Staff, error) {
	return list(ctx, s.base, "list staff", scanStaff, `SELECT `+staffColumns+` FROM teams_staff ORDER BY user_id`)
}

// ByUser returns a user, nil where unknown.
func (s *StaffStore) ByUser(ctx context.Context, userID string) (*Staff, error) {
	return one(ctx, s.base, "staff by user", scanStaff, `SELECT `+staffColumns+` FROM teams_staff WHERE user_id = $1`, userID)
}

// ByMXID returns the mapped user of a Matrix account, nil where there is none.
func (s *StaffStore) ByMXID(ctx context.Context, mxid string) (*Staff, error) {
	if mxid == "" {
		return nil, nil
	}
	return one(ctx, s.base, "staff by account", scanStaff, `SELECT `+staffColumns+` FROM teams_staff
		WHERE mxid = $1 AND mxid <> '' AND status = 'mapped' ORDER BY user_id LIMIT 1`, mxid)
}

// Delete forgets a user.
func (s *StaffStore) Delete(ctx context.Context, userID string) error {
	_, err := s.exec(ctx, "delete staff", `DELETE FROM teams_staff WHERE user_id = $1`, userID)
	return err
}

func scanStaff(row dbutil.Scannable) (u Staff, err error) {
	err = row.Scan(&u.UserID, &u.UPN, &u.Mail, &u.DisplayName, &u.MXID, &u.Status, &u.Reason)
	return u, err
}
